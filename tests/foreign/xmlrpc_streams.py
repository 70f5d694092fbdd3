"""Streams with Python's `ServerProxy`. Usage: xmlrpc_streams.py PORT"""

import sys
import time
from xmlrpc.client import Fault, ServerProxy

server = ServerProxy(f"http://127.0.0.1:{sys.argv[1]}")


def items(part):
    """The items of a stream that begins with `part`."""
    received = 0
    token = part.get("token")
    try:
        while True:
            yield from part["values"]
            received += len(part["values"])
            if part["finished"]:
                token = None
                return
            part = server.stream.next(token, received)
    finally:
        if token is not None:
            server.stream.abort(token)


for count in [0, 1, 2, 20_000]:
    assert list(items(server.count(count))) == list(range(count)), count

# An error behind the items.
found = []
try:
    for item in items(server.fail(300)):
        found.append(item)
    raise SystemExit("no error")
except Fault as fault:
    assert (fault.faultCode, fault.faultString) == (10, "ABORTED: enough"), fault
assert found == list(range(300)), len(found)

# One that leaves in the middle.
part = server.count(1_000_000)
some = items(part)
for number in range(10):
    assert next(some) == number
some.close()
try:
    server.stream.next(part["token"], len(part["values"]))
    raise SystemExit("the stream is still open")
except Fault as fault:
    assert fault.faultString.startswith("UNAVAILABLE: there is no such stream"), fault

# One that is silent for longer than a response takes.
start = time.monotonic()
assert list(items(server.silent(22_000))) == [22_000]
assert time.monotonic() - start > 21

# The server describes it.
assert "stream.next" in server.system.listMethods()
assert server.system.methodSignature("count") == [["struct", "int"]]
print("ok")
