"""Python's zerorpc against everywire. Usage: zerorpc_client.py PORT"""

import sys
import time

import zerorpc

url = f"tcp://127.0.0.1:{sys.argv[1]}"

# As everybody writes it.
c = zerorpc.Client()
c.connect(url)
assert c.add(88, 77) == 165

assert c.add(-(2**63), 0) == -(2**63)
assert c.add(2**63 - 1, 0) == 2**63 - 1
grant = c.lock("python over zerorpc: 锁", 60_000, None, "x" * 300)
assert grant["granted"] and grant["owner"] == "x" * 300, grant
assert c.lock_state("python over zerorpc: 锁")["held"] is True
assert c.lock_state("nobody's")["owner"] is None
ids = c.next_ids(100_000)
assert len(set(ids)) == 100_000 and ids == sorted(ids)

for name, text, call in [
    ("NameError", "no method `nothing`", lambda: c.nothing()),
    ("TypeError", "argument `b` is missing", lambda: c.add(1)),
    ("TypeError", "argument `b`: invalid type: a string", lambda: c.add(1, "2")),
    ("TypeError", "`ttl_ms` is 0", lambda: c.lock("a", 0)),
    ("OutOfRange", "beyond 64 bits", lambda: c.add(2**63 - 1, 1)),
]:
    try:
        raise SystemExit(f"no error: {call()}")
    except zerorpc.RemoteError as error:
        assert error.name == name and text in error.msg and text in str(error), (error.name, error.msg)

assert c._zerorpc_ping()[0] == "pong"
assert {"add", "lock", "next_id"} <= set(c._zerorpc_list())
assert "Adds two integers" in c._zerorpc_help("add")
inspected = c._zerorpc_inspect()
assert [a["name"] for a in inspected["methods"]["add"]["args"]] == ["a", "b"], inspected
c.close()

# A call that waits 20 s lives by its heartbeats: zerorpc gives a silent channel up after 10 s.
c = zerorpc.Client(timeout=30)
c.connect(url)
assert c.lock("waited for", 20_000, None, "dead")["granted"]
start = time.monotonic()
grant = c.lock("waited for", 1_000, 25_000, "waiter")
waited = time.monotonic() - start
assert grant["granted"] and grant["owner"] == "waiter", grant
assert 19 < waited < 25, waited
c.close()
print("ok")
