"""The service as JSON-RPC over HTTP, with Python's own http.server. See service.py."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import json_service
import service


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        request = self.rfile.read(int(self.headers["content-length"]))
        response = json_service.respond(request.decode()).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(response)))
        self.end_headers()
        self.wfile.write(response)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
service.listening(service.python("jsonrpcserver"), server.server_address[1], notes=json_service.NOTES)
server.serve_forever()
