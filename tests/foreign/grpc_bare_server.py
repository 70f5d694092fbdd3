"""A gRPC server with Python's grpcio that has no method and no reflection. See service.py."""

from concurrent.futures import ThreadPoolExecutor

import grpc

import service

server = grpc.server(ThreadPoolExecutor(1))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
service.listening(service.python("grpcio"), port)
server.wait_for_termination()
