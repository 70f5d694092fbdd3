"""The service of docs/interop.md for Python's servers, each of which is a program beside this file, `*_server.py`.

A server is run with FOLDER QUEUE BROKER: the folder of interop.proto, and where AMQP's requests come from. It prints
what it is and where it listens, and serves until it is killed.
"""

import importlib.metadata
import json
import logging
import sys
import threading
import time
from contextvars import ContextVar


class Coded(Exception):
    """An error with a code; each wire has its own way to say it."""


class NotFound(Coded):
    number, code = 5, "NOT_FOUND"


class DeadlineExceeded(Coded):
    number, code = 4, "DEADLINE_EXCEEDED"


class Cancelled(Coded):
    number, code = 1, "CANCELLED"


class Call:
    """What a server knows of a call besides its arguments."""

    def __init__(self, headers, timeout_ms=None):
        self.headers, self.timeout_ms = headers, timeout_ms
        self.given_up = threading.Event()

    def is_given_up_within(self, seconds):
        return self.given_up.wait(seconds)


CALL = ContextVar("call")
"""The call that runs."""


class Lingering:
    """A call of `linger`."""

    def __init__(self):
        self.begun, self.ended = threading.Event(), threading.Event()
        self.times = None


class Interop:
    """Gives back what it gets."""

    def __init__(self, patience=20):
        self.meetings, self.lingerings = {}, {}
        self.lock = threading.Lock()
        self.patience = patience

    def add(self, a, b):
        """Adds two integers."""
        return a + b

    def int(self, value):
        return value

    def uint(self, value):
        return value

    def maybe(self, value=None):
        return value

    def text(self, value):
        return value

    def blob(self, value):
        return value

    def nest(self, value):
        return value

    def fail(self, message):
        raise NotFound(message)

    def crash(self, message):
        raise ValueError(message)

    def meet(self, name):
        """Is answered once four calls with this name are in it."""
        with self.lock:
            meeting = self.meetings.setdefault(name, threading.Barrier(4))
        meeting.wait(self.patience)
        return meeting.parties

    def metadata(self, name):
        return CALL.get().headers.get(name)

    def trace(self):
        headers = CALL.get().headers
        return f"{headers['traceparent']} {headers['tracestate']}" if "traceparent" in headers else None

    def linger(self, name):
        """Ends when its deadline has passed or its caller gives it up, or by itself when its patience ends."""
        call, lingering, begun = CALL.get(), self._lingering(name), time.monotonic()
        lingering.begun.set()
        seconds = self.patience if call.timeout_ms is None else call.timeout_ms / 1000
        try:
            if call.is_given_up_within(min(seconds, self.patience)):
                raise Cancelled("linger was given up")
            if seconds <= self.patience and call.timeout_ms is not None:
                raise DeadlineExceeded("linger did not finish in time")
        except Exception:
            lingering.times = [int(call.timeout_ms or 0), int((time.monotonic() - begun) * 1000)]
            lingering.ended.set()
            raise
        return 0

    def lingering(self, name):
        """Is answered once a call of `linger` with this name has begun."""
        if self._lingering(name).begun.wait(self.patience):
            return 1
        raise Cancelled("nobody lingers")

    def lingered(self, name):
        """Is answered once that call has ended, but by itself."""
        lingering = self._lingering(name)
        if lingering.ended.wait(self.patience):
            return lingering.times
        raise Cancelled("it was not ended")

    def _lingering(self, name):
        with self.lock:
            return self.lingerings.setdefault(name, Lingering())


METHODS = [name for name in vars(Interop) if not name.startswith("_")]


def python(*libraries):
    """A name for what Python does with these libraries."""
    return "Python, " + ", ".join(f"{library} {importlib.metadata.version(library)}" for library in libraries)


def listening(name, port, cannot=None, notes=None):
    """Says that the server is there. `cannot` and `notes` are those of cases.py."""
    print(json.dumps({"name": name, "port": port, "cannot": cannot or {}, "notes": notes or {}}), flush=True)


logging.disable()  # Errors are cases here, and no surprise.
FOLDER, QUEUE, BROKER = sys.argv[1:]
