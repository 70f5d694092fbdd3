"""JSON-RPC over Python's requests. See cases.py."""

import requests

import cases


class Requests(cases.JsonRpc):
    library = "requests"

    def __init__(self, address):
        self.url = f"http://{address}"
        self.session = requests.Session()

    def exchange(self, request):
        response = self.session.post(self.url, request, headers={"content-type": "application/json"}, timeout=30)
        response.raise_for_status()
        return response.content

    def close(self):
        self.session.close()


cases.run(Requests)
