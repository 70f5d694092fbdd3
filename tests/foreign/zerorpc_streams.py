"""Streams with Python's zerorpc: what `@zerorpc.stream` makes of a generator. Usage: zerorpc_streams.py PORT"""

import sys
import time

import gevent
import zerorpc

client = zerorpc.Client(timeout=30)
client.connect(f"tcp://127.0.0.1:{sys.argv[1]}")

for count in [0, 1, 2, 10_000]:
    assert list(client.count(count)) == list(range(count)), count

# An error behind the items.
items = []
try:
    for item in client.fail(300):
        items.append(item)
    raise SystemExit("no error")
except zerorpc.RemoteError as error:
    assert (error.name, error.msg) == ("Aborted", "enough"), error
assert items == list(range(300)), len(items)

# A slow reader gets what it has credit for.
slow = iter(client.count(10_000))
for number in range(150):
    assert next(slow) == number
    if number % 50 == 0:
        gevent.sleep(0.1)

# One that leaves in the middle, and calls beside it.
slow.close()
assert list(client.count(3)) == [0, 1, 2]

# Heartbeats keep a stream that is silent for longer than zerorpc waits for a lost server.
start = time.monotonic()
assert list(client.silent(12_000)) == [12_000]
assert time.monotonic() - start > 11
client.close()
print("ok")
