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

from zmqlocker import LockerClient

SLOT = 0.8
# Requests fall on multiples of this, so that each is half a step or more away from a slot's end.
STEP = SLOT / 7.5
# How late a request may be. The end of a slot that opened late is late too, but by less than half a step.
LATE = 0.45 * STEP


def gaps(requests):
    """The steps before each request: half of them are regular, half are bursts and pauses."""
    steps = random.Random(7)
    return [1] * (requests // 2) + [steps.choice([0, 0, 0, 1, 1, 2, 5]) for _ in range(requests // 2)]


def ask_both(ours, theirs, gaps):
    """What both answer to each request. One that came late, on a busy machine, doesn't count: all begins anew."""
    answers = []
    due = time.monotonic()
    for gap in gaps:
        due += gap * STEP
        time.sleep(max(0, due - time.monotonic()))
        answer = ours.next(), theirs.next()
        if time.monotonic() - due < LATE:
            answers.append(answer)
        else:
            due = a_new_slot_is_next()
    return answers


def a_new_slot_is_next():
    """Waits until every slot has ended, so that the next request opens one."""
    time.sleep(SLOT + STEP)
    return time.monotonic()


def same_answers_as_the_reference(url):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    server = pathlib.Path(__file__).with_name("locker_server.py")
    reference = subprocess.Popen([sys.executable, server, port])
    try:
        ours, theirs = LockerClient(url), LockerClient(f"tcp://127.0.0.1:{port}")
        ours.next(), theirs.next()
        a_new_slot_is_next()
        answers = ask_both(ours, theirs, gaps(60))
        assert len(answers) >= 30, f"this machine was too busy: only {len(answers)} requests of 60 were in time"
        differences = [(index, *pair) for index, pair in enumerate(answers) if pair[0] != pair[1]]
        assert not differences, (differences, answers)
        assert {b"go", b"sorry"} == {word for word, _ in answers}, answers
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
    a_new_slot_is_next()
    for number in range(8):
        dealer.send_multipart([b"%d" % number, b"", b"let me go"])
    for number, word in enumerate([b"go"] * 5 + [b"sorry"] * 3):
        assert dealer.recv_multipart() == [b"%d" % number, b"", word], number
    context.destroy()


everywire = f"tcp://127.0.0.1:{sys.argv[1]}"
other_sockets(everywire)
same_answers_as_the_reference(everywire)
print("ok")
