"""Python's own xmlrpc.client. See cases.py."""

from xmlrpc.client import Binary, Fault, ServerProxy

import cases

NARROW = (
    "int exceeds XML-RPC limits",
    "Python's `xmlrpc.client` sends no integer beyond 32 bits (`OverflowError`), but reads longer ones.",
)


class Xmlrpc(cases.Client):
    name = "Python, `xmlrpc.client` (standard library)"
    not_found = (5, f"NOT_FOUND: {cases.MESSAGE}")
    cannot = {"i64": NARROW, "u64": NARROW}
    notes = {"optional": "With `allow_none=True`."}

    def __init__(self, address):
        self.proxy = ServerProxy(f"http://{address}", allow_none=True)

    def call(self, method, *arguments):
        try:
            reply = getattr(self.proxy, method)(*arguments)
        except Fault as fault:
            raise cases.Fault(fault.faultCode, fault.faultString) from fault
        return reply.data if isinstance(reply, Binary) else reply

    def close(self):
        self.proxy("close")()


cases.run(Xmlrpc)
