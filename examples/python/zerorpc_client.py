"""zerorpc with zerorpc: add, a lock with its fencing token, ids, a stream, a call that waits, an error.

pip install zerorpc && python3 examples/python/zerorpc_client.py [tcp://127.0.0.1:4243]
"""

import sys

import gevent
import zerorpc

url = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:4243"
# The timeout has to be longer than the longest wait for a lock.
client = zerorpc.Client(url, timeout=30)

total = client.add(3, 4)
print("3 + 4 =", total)
assert total == 7

# A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
name = "zerorpc_client.py"
lock = client.lock(name, 10_000, 15_000)
assert lock["granted"], lock
owner, token = lock["owner"], lock["token"]
# Send the token with each write, and let the storage reject one lower than the highest it has seen.
print("locked by", owner, "with the fencing token", token)
renewed = client.renew(name, owner, 10_000)
assert renewed["granted"] and renewed["token"] == token, renewed

# zerorpc is built on gevent: calls of several greenlets share the connection.
waiting = gevent.spawn(client.lock, name, 10_000, 15_000)
while client.lock_state(name)["waiting"] == 0:
    assert not waiting.ready(), waiting.get()
assert client.unlock(name, owner)
later = waiting.get(timeout=30)
print("the one who waited has", later["token"])
assert later["granted"] and later["token"] > token, later
client.unlock(name, later["owner"])

ids = client.next_ids(1_000)
print("1000 ids, from", ids[0], "to", ids[-1])
assert len(ids) == 1_000 and sorted(set(ids)) == ids

# A stream is a generator.
stream = list(client.ids(10_000))
print("a stream of", len(stream), "ids, up to", stream[-1])
assert len(stream) == 10_000 and sorted(set(stream)) == stream

try:
    sys.exit(f"no error, but {client.lock(name, 0)}")
except zerorpc.RemoteError as error:
    print("a lock for 0 ms:", error.name, error.msg)
    assert error.name == "TypeError"
client.close()
