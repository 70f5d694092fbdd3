"""The service with Python's own SimpleXMLRPCServer. See service.py."""

from xmlrpc.client import Fault
from xmlrpc.server import SimpleXMLRPCServer

import service

NARROW = ("int exceeds XML-RPC limits", "`SimpleXMLRPCServer` answers with no integer beyond 32 bits: `OverflowError`.")


class Interop(service.Interop):
    def fail(self, message):
        raise Fault(5, f"NOT_FOUND: {message}")


server = SimpleXMLRPCServer(("127.0.0.1", 0), allow_none=True, logRequests=False)
server.register_instance(Interop(patience=1))
server.register_introspection_functions()
service.listening(
    "Python, `SimpleXMLRPCServer` (standard library)",
    server.server_address[1],
    cannot={
        "i64": NARROW,
        "u64": NARROW,
        "concurrent": ("BrokenBarrierError", "`SimpleXMLRPCServer` runs one call at a time; others wait."),
        "reuse": ("100 connections", "`SimpleXMLRPCServer` answers in HTTP/1.0 and closes: a connection per call."),
    },
    notes={
        "optional": "With `allow_none=True`; absent arguments at the end are left out and need defaults.",
        "fault": '`raise Fault(5, "NOT_FOUND: …")`; any other exception is fault 1, which is `UNKNOWN` here.',
    },
)
server.serve_forever()
