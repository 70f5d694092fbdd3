"""JSON-RPC over Python's websockets. See cases.py."""

import json

from websockets.sync.client import connect

import cases


class WebSockets(cases.JsonRpc):
    library = "websockets"

    def __init__(self, address):
        self.socket = connect(f"ws://{address}")

    def exchange(self, request):
        self.socket.send(request)
        return self.socket.recv(timeout=30)

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
