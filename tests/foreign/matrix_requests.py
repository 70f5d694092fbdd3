"""JSON-RPC over Python's requests. See cases.py."""

import requests

import cases


class Requests(cases.JsonRpc):
    library = "requests"
    notes = {**cases.JsonRpc.notes, "cancel": "By its `timeout`, which closes the connection."}

    def __init__(self, address):
        self.url = f"http://{address}"
        self.session = requests.Session()

    def exchange(self, request, context, timeout=30):
        headers = {"content-type": "application/json", **context.headers()}
        response = self.session.post(self.url, request, headers=headers, timeout=timeout)
        response.raise_for_status()
        return response.content

    def give_up(self, begun, method, *arguments):
        try:
            self.exchange(self.request(method, *arguments), cases.NOTHING, timeout=1)
        except requests.ReadTimeout:
            begun()

    def close(self):
        self.session.close()


cases.run(Requests)
