"""Python's zerorpc. See cases.py."""

from contextvars import ContextVar

import gevent
import zerorpc

import cases

HEADER = ContextVar("header", default={})
MIDDLEWARE = "In the event's header, added by a middleware's `get_task_context`."


class Travels:
    """A middleware that adds to the header of each event."""

    def get_task_context(self):
        return HEADER.get()


class Zerorpc(cases.Client):
    library = "zerorpc"
    not_found = ("NotFound", cases.MESSAGE)
    too_late = ("DeadlineExceeded", cases.TOO_LATE)
    notes = {
        "metadata": MIDDLEWARE,
        "deadline": MIDDLEWARE,
        "trace": MIDDLEWARE,
        "cancel": "By its `timeout`, which ends the call's heartbeats; the server notices within 15 s.",
    }

    def __init__(self, address):
        self.client = zerorpc.Client(f"tcp://{address}", timeout=30)

    def call_with(self, context, method, *arguments):
        before = HEADER.set({**context.metadata, **context.timeout(), **context.trace})
        try:
            return self.client(method, *arguments)
        except zerorpc.RemoteError as error:
            raise cases.Fault(error.name, error.msg) from error
        finally:
            HEADER.reset(before)

    def give_up(self, begun, method, *arguments):
        try:
            self.client(method, *arguments, timeout=1)
        except zerorpc.TimeoutExpired:
            begun()

    def together(self, calls):
        """All on this one client: the calls of gevent's greenlets."""
        return [call.get() for call in [gevent.spawn(self.call, *call) for call in calls]]

    def close(self):
        self.client.close()


zerorpc.Context.get_instance().register_middleware(Travels())
cases.run(Zerorpc)
