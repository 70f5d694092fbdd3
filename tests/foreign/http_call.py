"""What travels with a call over HTTP: headers, and the connection that its client closes when it gives the call up."""

import select
import socket

import service

UNITS = {"H": 3_600_000, "M": 60_000, "S": 1000, "m": 1, "u": 1e-3, "n": 1e-6}
"""Of grpc-timeout, in milliseconds."""


class HttpCall(service.Call):
    """Of one request that a handler of http.server has read."""

    def __init__(self, handler):
        timeout = handler.headers.get("grpc-timeout")
        super().__init__(handler.headers, timeout and int(timeout[:-1]) * UNITS[timeout[-1]])
        self.connection = handler.connection

    def is_given_up_within(self, seconds):
        readable, _, _ = select.select([self.connection], [], [], seconds)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
