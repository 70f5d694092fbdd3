"""Python's own xmlrpc.client against everywire. Usage: xmlrpc_client.py PORT"""

import sys
from xmlrpc.client import Fault, MultiCall, ServerProxy

url = f"http://localhost:{sys.argv[1]}"

# As everybody writes it.
c = ServerProxy(url)
assert c.add(3, 4) == 7

c = ServerProxy(url, allow_none=True)
assert c.add(2**31 - 1, 1) == 2**31, "an i8 is read"
assert c.add(-(2**31), -1) == -(2**31) - 1
for path in ("/", "/RPC2"):
    assert ServerProxy(url + path).add(1, 1) == 2, path

grant = c.lock("python over xmlrpc: 锁 & <key>", 60_000, None, "owner 'ö'")
assert grant["granted"] and grant["owner"] == "owner 'ö'" and grant["token"] > 0, grant
again = c.lock("python over xmlrpc: 锁 & <key>", 60_000)
assert not again["granted"] and again["ttl_ms"] > 50_000, again
state = c.lock_state("python over xmlrpc: 锁 & <key>")
assert state["held"] and state["owner"] == "owner 'ö'" and state["waiting"] == 0, state
assert "owner" not in c.lock_state("nobody's"), "a nil that nobody asked for"
assert c.unlock("python over xmlrpc: 锁 & <key>", "owner 'ö'") is True

ids = c.next_ids(10_000)
assert len(set(ids)) == 10_000 and ids == sorted(ids), "a compressed answer"
assert c.decode_id(str(ids[0]))["sequence"] >= 0, "Python sends so long an integer as text only"
latin1 = ServerProxy(url, encoding="iso-8859-1")
assert latin1.lock("ein Schloß", 1, 0, "Müller")["owner"] == "Müller"

for code, text, call in [
    (-32601, "no method `nothing`", lambda: c.nothing()),
    (-32602, "argument `b` is missing", lambda: c.add(1)),
    (-32602, "more than 2 arguments", lambda: c.add(1, 2, 3)),
    (-32602, "argument `b`: invalid type: string", lambda: c.add(1, "two")),
    (-32602, "`ttl_ms` is 0", lambda: c.lock("a", 0)),
    (-32602, "argument `name`: invalid type: ", lambda: c.lock_state(None)),
]:
    try:
        raise SystemExit(f"no fault: {call()}")
    except Fault as fault:
        assert fault.faultCode == code and text in fault.faultString, fault

assert c.system.listMethods() == sorted(c.system.listMethods())
assert {"add", "lock", "next_id", "system.multicall"} <= set(c.system.listMethods())
assert c.system.methodSignature("add") == [["int", "int", "int"]]
assert "Adds two integers" in c.system.methodHelp("add")
assert isinstance(c.system.getCapabilities(), dict)

batch = MultiCall(c)
batch.add(1, 2)
batch.add(1)
batch.lock_state("nobody's")
results = batch()
assert results[0] == 3
assert results[2]["held"] is False
try:
    raise SystemExit(f"no fault: {results[1]}")
except Fault as fault:
    assert fault.faultCode == -32602, fault
print("ok")
