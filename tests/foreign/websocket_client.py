"""Python's websockets against everywire's JSON-RPC. Usage: websocket_client.py PORT"""

import json
import sys

from websockets.sync.client import connect

with connect(f"ws://127.0.0.1:{sys.argv[1]}") as socket:

    def call(request):
        socket.send(json.dumps(request))
        return json.loads(socket.recv(timeout=10))

    answer = call({"jsonrpc": "2.0", "id": 1, "method": "add", "params": [3, 4]})
    assert answer == {"jsonrpc": "2.0", "id": 1, "result": 7}, answer
    answer = call({"jsonrpc": "2.0", "id": "x", "method": "add", "params": {"b": 2**62, "a": 2**62 - 1}})
    assert answer == {"jsonrpc": "2.0", "id": "x", "result": 2**63 - 1}, answer
    answer = call({"jsonrpc": "2.0", "id": 2, "method": "next_id"})
    assert answer["result"] > 0, answer
    answer = call({"jsonrpc": "2.0", "id": 3, "method": "add", "params": [1, "2"]})
    assert answer["error"]["code"] == -32602 and "argument `b`" in answer["error"]["message"], answer
    # A notification runs and is not answered: the next answer is the next call's.
    socket.send(json.dumps({"jsonrpc": "2.0", "method": "lock", "params": ["notified", 60_000, None, "me"]}))
    answer = call({"jsonrpc": "2.0", "id": 4, "method": "lock_state", "params": ["notified"]})
    while not answer["result"]["held"]:
        answer = call({"jsonrpc": "2.0", "id": 4, "method": "lock_state", "params": ["notified"]})
    assert answer["result"]["owner"] == "me", answer
    batch = [{"jsonrpc": "2.0", "id": n, "method": "add", "params": [n, n]} for n in range(3)]
    answers = {answer["id"]: answer["result"] for answer in call(batch)}
    assert answers == {0: 0, 1: 2, 2: 4}, answers
print("ok")
