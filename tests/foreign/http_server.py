"""The service as JSON-RPC over HTTP, with Python's own http.server. See service.py.

Unlike the one over WebSocket, it describes two of its methods with OpenRPC.
"""

import contextlib
import functools
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jsonrpcserver

import json_service
import service
from http_call import HttpCall

INTEGER = {"type": "integer"}
ADD = {
    "name": "add",
    "summary": "Adds two integers.",
    "params": [{"name": name, "required": True, "schema": INTEGER} for name in ("a", "b")],
    "result": {"name": "sum", "schema": INTEGER},
}
TEXT = {"name": "text", "params": [{"name": "value", "schema": {"type": "string"}}]}
DOCUMENT = {"openrpc": "1.3.2", "info": {"title": "Interop", "version": "1"}, "methods": [ADD, TEXT]}

HEADERS = "The handler passes its headers to the method."
NOTES = {
    **json_service.NOTES,
    "metadata": HEADERS,
    "deadline": "The method reads `grpc-timeout` from the headers and stops by itself.",
    "cancel": "everywire's client closes the connection; the method sees that `recv` with `MSG_PEEK` returns nothing.",
    "trace": HEADERS,
}


def discover():
    return jsonrpcserver.Success(DOCUMENT)


respond = functools.partial(jsonrpcserver.dispatch, methods={**json_service.METHODS, "rpc.discover": discover})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        request = self.rfile.read(int(self.headers["content-length"]))
        service.CALL.set(HttpCall(self))
        response = respond(request.decode()).encode()
        # A client that gave the call up has closed its connection.
        with contextlib.suppress(ConnectionError):
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(response)))
            self.end_headers()
            self.wfile.write(response)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
service.listening(service.python("jsonrpcserver"), server.server_address[1], notes=NOTES)
server.serve_forever()
