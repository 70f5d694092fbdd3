"""Python's own xmlrpc.client. See cases.py."""

from xmlrpc.client import Binary, Fault, ServerProxy, Transport

import cases

NARROW = (
    "int exceeds XML-RPC limits",
    "Python's `xmlrpc.client` sends no integer beyond 32 bits (`OverflowError`), but reads longer ones.",
)


class Impatient(Transport):
    def make_connection(self, host):
        connection = super().make_connection(host)
        connection.timeout = 1
        return connection


class Xmlrpc(cases.Client):
    name = "Python, `xmlrpc.client` (standard library)"
    not_found = (5, f"NOT_FOUND: {cases.MESSAGE}")
    too_late = (4, f"DEADLINE_EXCEEDED: {cases.TOO_LATE}")
    cannot = {"i64": NARROW, "u64": NARROW}
    notes = {
        "optional": "With `allow_none=True`.",
        "metadata": cases.PER_CLIENT,
        "deadline": cases.PER_CLIENT,
        "trace": cases.PER_CLIENT,
        "cancel": "By a timeout on its connection, set in a subclass of `Transport`.",
    }

    def __init__(self, address):
        self.url = f"http://{address}"
        self.proxy = self.other()

    def other(self, **options):
        return ServerProxy(self.url, allow_none=True, **options)

    def call_with(self, context, method, *arguments):
        headers = context.headers()
        proxy = self.other(headers=headers.items()) if headers else self.proxy
        try:
            reply = getattr(proxy, method)(*arguments)
        except Fault as fault:
            raise cases.Fault(fault.faultCode, fault.faultString) from fault
        return reply.data if isinstance(reply, Binary) else reply

    def give_up(self, begun, method, *arguments):
        try:
            getattr(self.other(transport=Impatient()), method)(*arguments)
        except TimeoutError:
            begun()

    def close(self):
        self.proxy("close")()


cases.run(Xmlrpc)
