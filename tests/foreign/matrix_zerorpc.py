"""Python's zerorpc. See cases.py."""

import gevent
import zerorpc

import cases


class Zerorpc(cases.Client):
    library = "zerorpc"
    not_found = ("NotFound", cases.MESSAGE)

    def __init__(self, address):
        self.client = zerorpc.Client(f"tcp://{address}", timeout=30)

    def call(self, method, *arguments):
        try:
            return self.client(method, *arguments)
        except zerorpc.RemoteError as error:
            raise cases.Fault(error.name, error.msg) from error

    def together(self, calls):
        """All on this one client: the calls of gevent's greenlets."""
        return [call.get() for call in [gevent.spawn(self.call, *call) for call in calls]]

    def close(self):
        self.client.close()


cases.run(Zerorpc)
