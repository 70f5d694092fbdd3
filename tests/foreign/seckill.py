"""A flash sale: 50 threads, one lock, over one wire. Usage: seckill.py WIRE PORT, and for grpc PROTO OUT

WIRE is xmlrpc, jsonrpc, grpc or zerorpc, or none: then nobody takes a lock, and the script has to fail.
"""

import sys

wire, port, *rest = sys.argv[1:]
if wire == "zerorpc":
    # zerorpc lives on gevent: its threads are greenlets.
    from gevent import monkey

    monkey.patch_all()

import itertools
import json
import os
import threading
import time
import urllib.request
import uuid

THREADS = 50
NAME, TTL_MS, WAIT_MS = "seckill", 60_000, 25_000


def xmlrpc():
    from xmlrpc.client import ServerProxy

    def call(method, *params):
        with ServerProxy(f"http://127.0.0.1:{port}") as server:  # one for each call: it is not made for threads
            return getattr(server, method)(*params)

    return lambda *params: call("lock", *params), lambda *params: call("unlock", *params)


def jsonrpc():
    def call(method, *params):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["result"]

    return lambda *params: call("lock", *params), lambda *params: call("unlock", *params)


def grpc():
    import grpc
    from grpc_tools import protoc

    proto, out = rest
    os.makedirs(out, exist_ok=True)
    folder, file = os.path.split(proto)
    assert protoc.main(["protoc", f"-I{folder}", f"--python_out={out}", f"--grpc_python_out={out}", file]) == 0
    sys.path.insert(0, out)
    import toolkit_pb2 as pb
    import toolkit_pb2_grpc as pb_grpc

    stub = pb_grpc.ToolkitStub(grpc.insecure_channel(f"127.0.0.1:{port}"))

    def lock(name, ttl_ms, wait_ms, owner):
        grant = stub.Lock(pb.LockRequest(name=name, ttl_ms=ttl_ms, wait_ms=wait_ms, owner=owner))
        return {"granted": grant.granted, "token": grant.token}

    return lock, lambda name, owner: stub.Unlock(pb.UnlockRequest(name=name, owner=owner)).value


def zerorpc():
    import zerorpc

    client = zerorpc.Client(f"tcp://127.0.0.1:{port}", timeout=60)
    return client.lock, client.unlock


def none():
    tokens = itertools.count(1)
    return lambda *_: {"granted": True, "token": next(tokens)}, lambda *_: True


lock, unlock = {"xmlrpc": xmlrpc, "jsonrpc": jsonrpc, "grpc": grpc, "zerorpc": zerorpc, "none": none}[wire]()
counter = 0
inside = 0
tokens = []
errors = []


def buy():
    global counter, inside
    owner = str(uuid.uuid4())
    grant = lock(NAME, TTL_MS, WAIT_MS, owner)
    assert grant["granted"], grant
    print(threading.get_ident(), "got the lock")
    inside += 1
    assert inside == 1, f"{inside} threads have the lock"
    tokens.append(grant["token"])
    seen = counter
    time.sleep(0.001)  # whoever else is inside reads the same now
    counter = seen + 1
    inside -= 1
    assert unlock(NAME, owner) is True


def thread():
    try:
        buy()
    except BaseException as error:
        errors.append(error)


threads = [threading.Thread(target=thread) for _ in range(THREADS)]
for started in threads:
    started.start()
for started in threads:
    started.join()
assert not errors, errors[0]
assert counter == THREADS, f"{counter} of {THREADS} were counted: updates were lost"
assert len(tokens) == THREADS and all(a < b for a, b in zip(tokens, tokens[1:])), tokens
print("ok")
