"""JSON-RPC over curl. See cases.py."""

import subprocess

import cases


class Curl(cases.JsonRpc):
    name = "Shell, curl"
    cannot = {
        "reuse": ("100 connections", "A connection ends with its process; one `curl` with several URLs shares it.")
    }
    notes = {**cases.JsonRpc.notes, "cancel": "By killing the process."}

    def __init__(self, address):
        self.url = f"http://{address}"

    def command(self, request, context=cases.NOTHING):
        headers = {"content-type": "application/json", **context.headers()}
        headers = [word for header in headers.items() for word in ("--header", ": ".join(header))]
        return ["curl", "--silent", "--show-error", *headers, "--data-binary", request, self.url]

    def exchange(self, request, context):
        return subprocess.run(self.command(request, context), stdout=subprocess.PIPE, check=True).stdout

    def give_up(self, begun, method, *arguments):
        with subprocess.Popen(self.command(self.request(method, *arguments))) as curl:
            begun()
            curl.terminate()


cases.run(Curl)
