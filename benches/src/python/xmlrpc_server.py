"""The notes' XML-RPC server: `add` on Python's own SimpleXMLRPCServer.

argv[1] is how many connections may wait. Python's own number is 5; a further one is tried again by the kernel, a second later.
"""
import os
import platform
import sys
import threading
from xmlrpc.server import SimpleXMLRPCServer


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


class Server(SimpleXMLRPCServer):
    request_queue_size = int(sys.argv[1])


server = Server(("127.0.0.1", 0), allow_none=True, logRequests=False)
server.register_function(lambda a, b: a + b, "add")
threading.Thread(target=end_with_parent, daemon=True).start()
print("127.0.0.1:%d" % server.server_address[1])
print("Python " + platform.python_version(), flush=True)
server.serve_forever()
