"""The service with Python's zerorpc. See service.py."""

import gevent.monkey

gevent.monkey.patch_all()

import zerorpc  # noqa: E402
import zmq  # noqa: E402

import service  # noqa: E402


HEADER = "A middleware's `load_task_context` receives the event's header."


class Travels:
    """A middleware that leaves the header of each request to the method."""

    def load_task_context(self, header):
        service.CALL.set(service.Call(header, header.get("timeout_ms")))


class Interop(service.Interop):
    @zerorpc.stream
    def count(self, end):
        return iter(range(end))


zerorpc.Context.get_instance().register_middleware(Travels())
server = zerorpc.Server(Interop())
server.bind("tcp://127.0.0.1:*")
port = int(server._events._socket.getsockopt(zmq.LAST_ENDPOINT).rsplit(b":")[-1])
service.listening(
    service.python("zerorpc"),
    port,
    notes={
        "fault": "The exception's class is called `NotFound`; one with another name is `UNKNOWN`.",
        "metadata": HEADER,
        "deadline": f"{HEADER} The method stops by itself.",
        "cancel": "zerorpc raises `LostRemote` in the method within 15 s, because the call's heartbeats have ended.",
        "trace": HEADER,
    },
)
server.run()
