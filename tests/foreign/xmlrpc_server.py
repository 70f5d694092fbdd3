"""The service with Python's own SimpleXMLRPCServer. See service.py."""

from xmlrpc.client import Fault
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import service
from http_call import HttpCall

NARROW = ("int exceeds XML-RPC limits", "`SimpleXMLRPCServer` answers with no integer beyond 32 bits: `OverflowError`.")
BUSY = "`SimpleXMLRPCServer` runs one call at a time, and does not watch its connection meanwhile."
HEADERS = "A subclass of `SimpleXMLRPCRequestHandler` passes the headers to the method."
DEADLINE = "The method reads `grpc-timeout` from the headers and stops by itself."


class Interop(service.Interop):
    def fail(self, message):
        raise Fault(5, f"NOT_FOUND: {message}")

    def linger(self, name):
        try:
            return super().linger(name)
        except service.Coded as error:
            raise Fault(error.number, f"{error.code}: {error}") from error


class Handler(SimpleXMLRPCRequestHandler):
    def do_POST(self):
        service.CALL.set(HttpCall(self))
        super().do_POST()


server = SimpleXMLRPCServer(("127.0.0.1", 0), Handler, allow_none=True, logRequests=False)
server.register_instance(Interop(patience=1))
server.register_introspection_functions()
service.listening(
    "Python, `SimpleXMLRPCServer` (standard library)",
    server.server_address[1],
    cannot={
        "i64": NARROW,
        "u64": NARROW,
        "concurrent": ("BrokenBarrierError", "`SimpleXMLRPCServer` runs one call at a time; others wait."),
        "cancel": ("ended by itself", BUSY),
        "reuse": ("100 connections", "`SimpleXMLRPCServer` answers in HTTP/1.0 and closes: a connection per call."),
    },
    notes={
        "optional": "With `allow_none=True`; absent arguments at the end are left out and need defaults.",
        "fault": '`raise Fault(5, "NOT_FOUND: …")`; any other exception is fault 1, which is `UNKNOWN` here.',
        "metadata": HEADERS,
        "deadline": DEADLINE,
        "trace": HEADERS,
    },
)
server.serve_forever()
