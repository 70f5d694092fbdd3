"""The notes' zerorpc server: `add` on the zerorpc package."""
import os
import socket
import sys
import threading
from importlib.metadata import version

import zerorpc


class Echo:
    def add(self, a, b):
        return a + b


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = "127.0.0.1:%d" % free.getsockname()[1]
server = zerorpc.Server(Echo())
server.bind("tcp://" + address)
threading.Thread(target=end_with_parent, daemon=True).start()
print(address)
print("Python zerorpc " + version("zerorpc"), flush=True)
server.run()
