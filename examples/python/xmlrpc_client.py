"""XML-RPC with Python's standard library: add, a lock with its fencing token, ids, a stream, a batch, an error.

python3 examples/python/xmlrpc_client.py [http://127.0.0.1:4242]
"""

import sys
from xmlrpc.client import Fault, MultiCall, ServerProxy

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:4242"
server = ServerProxy(url)

total = server.add(3, 4)
print("3 + 4 =", total)
assert total == 7

# A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
name = "xmlrpc_client.py"
lock = server.lock(name, 10_000, 15_000)
assert lock["granted"], lock
owner, token = lock["owner"], lock["token"]
# Send the token with each write, and let the storage reject one lower than the highest it has seen.
print("locked by", owner, "with the fencing token", token)
assert not server.lock(name, 10_000)["granted"], "somebody else tries once"
renewed = server.renew(name, owner, 10_000)
assert renewed["granted"] and renewed["token"] == token, renewed
assert server.unlock(name, owner)
later = server.lock(name, 10_000)
print("locked again with", later["token"])
assert later["token"] > token
server.unlock(name, later["owner"])

ids = server.next_ids(1_000)
print("1000 ids, from", ids[0], "to", ids[-1])
assert len(ids) == 1_000 and sorted(set(ids)) == ids

# A stream: the reply has the first items. `stream.next` waits for more, and is told how many have arrived.
part = server.ids(10_000)
token, stream = part.get("token"), part["values"]
while not part["finished"]:
    part = server.stream.next(token, len(stream))
    stream += part["values"]
print("a stream of", len(stream), "ids, up to", stream[-1])
assert len(stream) == 10_000 and sorted(set(stream)) == stream

# system.multicall: many calls in one request.
batch = MultiCall(server)
for number in range(5):
    batch.add(number, number)
sums = list(batch())
print("one request, five answers:", sums)
assert sums == [0, 2, 4, 6, 8]

# An error is a fault. Its codes are in the documentation of the crate everywire-xmlrpc.
try:
    sys.exit(f"no fault, but {server.lock(name, 0)}")
except Fault as fault:
    print("a lock for 0 ms:", fault.faultCode, fault.faultString)
    assert fault.faultCode == -32602
