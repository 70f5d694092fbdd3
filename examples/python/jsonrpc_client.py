"""JSON-RPC over HTTP with httpx: add, a lock with its fencing token, ids, a stream, a batch, an error.

pip install httpx && python3 examples/python/jsonrpc_client.py [http://127.0.0.1:4244]
"""

import sys

import httpx

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:4244"
# The timeout has to be longer than the longest wait for a lock.
http = httpx.Client(base_url=url, timeout=30)


class RpcError(Exception):
    def __init__(self, code, message, data=None):
        super().__init__(f"{code} {message}")
        self.code, self.data = code, data


def request(number, method, params):
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def result(answer):
    if "error" in answer:
        raise RpcError(**answer["error"])
    return answer["result"]


def call(method, **params):
    return result(http.post("/", json=request(1, method, params)).raise_for_status().json())


total = call("add", a=3, b=4)
print("3 + 4 =", total)
assert total == 7

# A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
name = "jsonrpc_client.py"
lock = call("lock", name=name, ttl_ms=10_000, wait_ms=15_000)
assert lock["granted"], lock
owner, token = lock["owner"], lock["token"]
# Send the token with each write, and let the storage reject one lower than the highest it has seen.
print("locked by", owner, "with the fencing token", token)
assert not call("lock", name=name, ttl_ms=10_000)["granted"], "somebody else tries once"
renewed = call("renew", name=name, owner=owner, ttl_ms=10_000)
assert renewed["granted"] and renewed["token"] == token, renewed
assert call("unlock", name=name, owner=owner)
later = call("lock", name=name, ttl_ms=10_000)
print("locked again with", later["token"])
assert later["token"] > token
call("unlock", name=name, owner=later["owner"])

ids = call("next_ids", count=1_000)
print("1000 ids, from", ids[0], "to", ids[-1])
assert len(ids) == 1_000 and sorted(set(ids)) == ids

# A stream: the result has the first items. `$/enumerator/next` waits for more, and is told how many have arrived.
part = call("ids", count=10_000)
token, stream = part.get("token"), part["values"]
while not part["finished"]:
    part = call("$/enumerator/next", token=token, received=len(stream))
    stream += part["values"]
print("a stream of", len(stream), "ids, up to", stream[-1])
assert len(stream) == 10_000 and sorted(set(stream)) == stream

# A batch: many calls in one request. Arguments may be given by position or by name.
batch = [request(number, "add", [number, number]) for number in range(5)]
sums = {answer["id"]: result(answer) for answer in http.post("/", json=batch).json()}
print("one request, five answers:", sums)
assert sums == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8}

try:
    sys.exit(f"no error, but {call('lock', name=name, ttl_ms=0)}")
except RpcError as error:
    print("a lock for 0 ms:", error, error.data)
    assert error.code == -32602 and error.data["code"] == "INVALID_ARGUMENT"
