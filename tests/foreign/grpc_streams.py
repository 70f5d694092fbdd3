"""Server streams with Python's grpcio. Usage: grpc_streams.py PORT"""

import sys

import grpc


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def number(message):
    """The number in field 1, which is left out if it is zero."""
    return sum((byte & 127) << (7 * index) for index, byte in enumerate(message[1:]))


channel = grpc.insecure_channel(f"127.0.0.1:{sys.argv[1]}")


def stream(method, argument):
    call = channel.unary_stream(f"/interop.v1.Ticks/{method}")
    return call(b"\x08" + varint(argument) if argument else b"", timeout=30)


for count in [0, 1, 2, 10_000]:
    assert [number(item) for item in stream("Count", count)] == list(range(count)), count

items = []
try:
    for item in stream("Fail", 300):
        items.append(number(item))
    raise SystemExit("no error")
except grpc.RpcError as error:
    assert (error.code(), error.details()) == (grpc.StatusCode.ABORTED, "enough"), error
assert items == list(range(300)), len(items)

unfinished = stream("Count", 1_000_000)
assert number(next(unfinished)) == 0
unfinished.cancel()
assert [number(item) for item in stream("Silent", 10)] == [10]
print("ok")
