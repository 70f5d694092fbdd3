"""JSON-RPC over Python's websockets. See cases.py."""

import json

from websockets.sync.client import connect

import cases


class WebSockets(cases.JsonRpc):
    library = "websockets"
    notes = {**cases.JsonRpc.notes, "cancel": "By a notification `$/cancelRequest`."}

    def __init__(self, address):
        self.socket = connect(f"ws://{address}")

    def exchange(self, request, context):
        self.socket.send(self.request_with(request, context))
        return self.socket.recv(timeout=30)

    @staticmethod
    def request_with(request, context):
        """What travels with a call is members of its request: there are no headers."""
        meta = {"meta": context.metadata} if context.metadata else {}
        return json.dumps({**json.loads(request), **meta, **context.timeout(), **context.trace})

    def give_up(self, begun, method, *arguments):
        self.socket.send(self.request(method, *arguments, id=7))
        begun()
        self.socket.send(json.dumps({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 7}}))
        cases.same(json.loads(self.socket.recv(timeout=30))["error"]["code"], -32800)

    def together(self, calls):
        """All on this one socket; answers come in any order."""
        for number, call in enumerate(calls):
            self.socket.send(self.request(*call, id=number))
        answers = [self.socket.recv(timeout=30) for _ in calls]
        answers = {json.loads(answer)["id"]: answer for answer in answers}
        return [self.reply(answers[number]) for number in range(len(calls))]

    def close(self):
        self.socket.close()


cases.run(WebSockets)
