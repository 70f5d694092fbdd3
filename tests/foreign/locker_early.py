"""zmqlocker's client, started before its server: it waits, and then goes on as if nothing was.

Usage: locker_early.py PORT (where a locker that gives 5 permits is yet to come)
"""

import sys

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


locker_cli = LockerClient(f"tcp://localhost:{sys.argv[1]}")
print("asks", flush=True)
for i in range(7):
    print(locker_cli.next().decode(), flush=True)
