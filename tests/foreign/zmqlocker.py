"""zmqlocker's client."""

import zmq


class LockerClient:
    """As its users have it, in Python 3: words are bytes."""

    def __init__(self, url="tcp://localhost:7777"):
        cnt = zmq.Context()
        self.sck = cnt.socket(zmq.REQ)
        self.sck.connect(url)

    def next(self):
        self.sck.send(b"let me go")
        return self.sck.recv()
