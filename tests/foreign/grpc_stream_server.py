"""A gRPC server with Python's grpcio whose one method streams. See service.py."""

from concurrent.futures import ThreadPoolExecutor

import grpc

import service


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def count(request, context):
    to = sum((byte & 127) << (7 * index) for index, byte in enumerate(request[1:]))
    for number in range(to):
        yield b"\x08" + varint(number) if number else b""
    if to == 3:
        context.abort(grpc.StatusCode.ABORTED, "enough")


handler = grpc.method_handlers_generic_handler("interop.v1.Ticks", {"Count": grpc.unary_stream_rpc_method_handler(count)})
server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
service.listening(service.python("grpcio"), port)
server.wait_for_termination()
