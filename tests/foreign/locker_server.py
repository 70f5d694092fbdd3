"""zmqlocker's server as its users have it, in Python 3: words are bytes. Usage: locker_server.py PORT"""

import sys
import time

import zmq


class Locker:
    def __init__(self, max_requests=1, in_seconds=1.0):
        self.max_requests = max_requests
        self.in_seconds = in_seconds
        self.requests = 0
        now = time.time()
        self.next_slot = now + in_seconds

    def __iter__(self):
        return self

    def next(self):
        now = time.time()
        if now > self.next_slot:
            self.requests = 0
            self.next_slot = now + self.in_seconds
        if self.requests < self.max_requests:
            self.requests += 1
            return b"go"
        else:
            return b"sorry"


class LockerServer:
    def __init__(self, max_requests=1, in_seconds=1.0, url="tcp://*:7777"):
        locker = Locker(max_requests, in_seconds)
        cnt = zmq.Context()
        sck = cnt.socket(zmq.REP)
        sck.bind(url)
        while True:
            msg = sck.recv()
            sck.send(locker.next())


if __name__ == "__main__":
    LockerServer(max_requests=5, in_seconds=0.8, url=f"tcp://127.0.0.1:{sys.argv[1]}")
