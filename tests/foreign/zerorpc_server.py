"""The service with Python's zerorpc. See service.py."""

import gevent.monkey

gevent.monkey.patch_all()

import zerorpc  # noqa: E402
import zmq  # noqa: E402

import service  # noqa: E402


class Interop(service.Interop):
    @zerorpc.stream
    def count(self, end):
        return iter(range(end))


server = zerorpc.Server(Interop())
server.bind("tcp://127.0.0.1:*")
port = int(server._events._socket.getsockopt(zmq.LAST_ENDPOINT).rsplit(b":")[-1])
service.listening(
    service.python("zerorpc"),
    port,
    notes={"fault": "The exception's class is called `NotFound`; one with another name is `UNKNOWN`."},
)
server.run()
