"""zmqlocker's client against everywire and against zmqlocker's own server, at the same times.

Usage: locker_client.py PORT (of a locker that gives 5 permits in 0.8 s)
"""

import pathlib
import random
import socket
import subprocess
import sys
import time

import zmq

LIMIT, SLOT = 5, 0.8
# Requests fall on multiples of this, so that each is half a step or more away from a slot's end.
STEP = SLOT / 7.5
# How late a request may be: two of them still don't reach from one side of a slot's end to the other.
LATE = STEP / 4


class LockerClient:
    """As its users have it, in Python 3: words are bytes."""

    def __init__(self, url="tcp://localhost:7777"):
        cnt = zmq.Context()
        self.sck = cnt.socket(zmq.REQ)
        self.sck.connect(url)

    def next(self):
        self.sck.send(b"let me go")
        return self.sck.recv()


def schedule(requests, seed):
    """When to ask, in steps: half of the requests are regular, half come in bursts and after pauses."""
    steps = random.Random(seed)
    gaps = [1] * (requests // 2) + [steps.choice([0, 0, 0, 1, 1, 2, 5]) for _ in range(requests // 2)]
    return [sum(gaps[:index]) for index in range(requests)]


def ask_both(ours, theirs, at):
    """What both answer at these times; None if this machine was too busy to keep them."""
    for client in (ours, theirs):
        client.next()
    time.sleep(SLOT + STEP)  # the slot of that request ends, or the one before it did and this is the next
    start = time.monotonic()
    answers = []
    for step in at:
        due = start + step * STEP
        time.sleep(max(0, due - time.monotonic()))
        answers.append((ours.next(), theirs.next()))
        if time.monotonic() - due > LATE:
            return None
    return answers


def same_answers_as_the_reference(url):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    server = pathlib.Path(__file__).with_name("locker_server.py")
    reference = subprocess.Popen([sys.executable, server, port])
    try:
        ours, theirs = LockerClient(url), LockerClient(f"tcp://127.0.0.1:{port}")
        at = schedule(60, seed=7)
        answers = next(filter(None, (ask_both(ours, theirs, at) for _ in range(5))), None)
        assert answers, "this machine was too busy to ask at fixed times"
        differences = [(index, *pair) for index, pair in enumerate(answers) if pair[0] != pair[1]]
        assert not differences, (differences, answers)
        regular = [b"go"] * LIMIT + [b"sorry"] * 3
        assert [word for word, _ in answers[:24]] == regular * 3, answers
    finally:
        reference.kill()
        reference.wait()


def other_sockets(url):
    context = zmq.Context()
    # The options with which a REQ survives an answer that is lost: ask again, and get the answer to the last request.
    impatient = context.socket(zmq.REQ)
    impatient.rcvtimeo, impatient.req_relaxed, impatient.req_correlate = 20_000, 1, 1
    impatient.connect(url)
    for _ in range(3):
        impatient.send(b"not waited for")
        impatient.send(b"let me go")
        assert impatient.recv() in (b"go", b"sorry")
    dealer = context.socket(zmq.DEALER)
    dealer.rcvtimeo = 20_000
    dealer.connect(url)
    time.sleep(SLOT + STEP)
    for number in range(8):
        dealer.send_multipart([b"%d" % number, b"", b"let me go"])
    for number, word in enumerate([b"go"] * LIMIT + [b"sorry"] * 3):
        assert dealer.recv_multipart() == [b"%d" % number, b"", word], number
    context.destroy()


everywire = f"tcp://127.0.0.1:{sys.argv[1]}"
other_sockets(everywire)
same_answers_as_the_reference(everywire)
print("ok")
