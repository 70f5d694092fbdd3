"""The service of docs/interop.md for Python's servers, each of which is a program beside this file, `*_server.py`.

A server is run with FOLDER QUEUE BROKER: the folder of interop.proto, and where AMQP's requests come from. It prints
what it is and where it listens, and serves until it is killed.
"""

import importlib.metadata
import json
import logging
import sys
import threading


class NotFound(Exception):
    """An error with a code; each wire has its own way to say it."""


class Interop:
    """Gives back what it gets."""

    def __init__(self, patience=20):
        self.meetings = {}
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


METHODS = [name for name in vars(Interop) if not name.startswith("_")]


def python(*libraries):
    """A name for what Python does with these libraries."""
    return "Python, " + ", ".join(f"{library} {importlib.metadata.version(library)}" for library in libraries)


def listening(name, port, cannot=None, notes=None):
    """Says that the server is there. `cannot` and `notes` are those of cases.py."""
    print(json.dumps({"name": name, "port": port, "cannot": cannot or {}, "notes": notes or {}}), flush=True)


logging.disable()  # Errors are cases here, and no surprise.
FOLDER, QUEUE, BROKER = sys.argv[1:]
