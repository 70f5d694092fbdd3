"""JSON-RPC over curl. See cases.py."""

import subprocess

import cases


class Curl(cases.JsonRpc):
    name = "Shell, curl"
    cannot = {
        "reuse": ("100 connections", "A connection ends with its process; one `curl` with several URLs shares it.")
    }

    def __init__(self, address):
        self.url = f"http://{address}"

    def exchange(self, request):
        options = ["--silent", "--show-error", "--header", "content-type: application/json", "--data-binary", "@-"]
        command = ["curl", *options, self.url]
        return subprocess.run(command, input=request.encode(), stdout=subprocess.PIPE, check=True).stdout


cases.run(Curl)
