"""The limiter as plain ZeroMQ with pyzmq: ask until no permit is left, then until there is one again.

pip install pyzmq && python3 examples/python/locker_client.py [tcp://127.0.0.1:7777]
"""

import sys
import time

import zmq

url = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7777"
socket = zmq.Context().socket(zmq.REQ)
# A REQ waits for ever for a lost reply. With these options it gives up after 5 s, and may then send again.
socket.rcvtimeo, socket.req_relaxed, socket.req_correlate = 5_000, 1, 1
socket.connect(url)


def ask():
    socket.send(b"let me go")
    word = socket.recv()
    assert word in (b"go", b"sorry"), word
    return word == b"go"


given = 0
while ask():
    given += 1
    assert given < 10_000, "there is no limit"
print("sorry, after", given, "times go")

since = time.monotonic()
while not ask():
    assert time.monotonic() < since + 30, "no new slot within 30 s"
    time.sleep(0.05)
print(f"go again after {time.monotonic() - since:.2f} s")
