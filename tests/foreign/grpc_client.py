"""Python's grpcio against everywire: stubs from the committed .proto, then reflection and health.

Usage: grpc_client.py PORT PROTO OUT (OUT is a folder for the generated stubs)
"""

import os
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

port, proto, out = sys.argv[1:]
os.makedirs(out, exist_ok=True)
folder, file = os.path.split(proto)
assert protoc.main(["protoc", f"-I{folder}", f"--python_out={out}", f"--grpc_python_out={out}", file]) == 0
sys.path.insert(0, out)
import toolkit_pb2 as pb  # noqa: E402
import toolkit_pb2_grpc as pb_grpc  # noqa: E402

channel = grpc.insecure_channel(f"127.0.0.1:{port}")
stub = pb_grpc.ToolkitStub(channel)
assert stub.Add(pb.AddRequest(a=3, b=4)).value == 7
assert stub.Add(pb.AddRequest()).value == 0
assert stub.Add(pb.AddRequest(a=-(2**63), b=2**63 - 1)).value == -1
grant = stub.Lock(pb.LockRequest(name="python over grpc: 锁", ttl_ms=60_000, owner="me"))
assert grant.granted and grant.owner == "me" and grant.token > 0, grant
state = stub.LockState(pb.LockStateRequest(name="python over grpc: 锁"))
assert state.held and state.HasField("owner") and state.owner == "me", state
assert not stub.LockState(pb.LockStateRequest(name="nobody's")).HasField("owner")
ids = list(stub.NextIds(pb.NextIdsRequest(count=100_000)).value)
assert len(set(ids)) == 100_000 and ids == sorted(ids)
stub.Lock(pb.LockRequest(name="grpc: held", ttl_ms=60_000, owner="holder"))

health = health_pb2_grpc.HealthStub(channel)
for code, text, call in [
    (grpc.StatusCode.INVALID_ARGUMENT, "`ttl_ms` is 0", lambda: stub.Lock(pb.LockRequest(name="a"))),
    (grpc.StatusCode.OUT_OF_RANGE, "beyond 64 bits", lambda: stub.Add(pb.AddRequest(a=2**63 - 1, b=1))),
    (
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "",
        lambda: stub.Lock(pb.LockRequest(name="grpc: held", ttl_ms=1, wait_ms=20_000), timeout=0.2),
    ),
    (
        grpc.StatusCode.UNIMPLEMENTED,
        "Nothing",
        lambda: channel.unary_unary("/everywire.v1.Toolkit/Nothing")(b""),
    ),
    (
        grpc.StatusCode.NOT_FOUND,
        "unknown service",
        lambda: health.Check(health_pb2.HealthCheckRequest(service="no.Such")),
    ),
    (grpc.StatusCode.UNIMPLEMENTED, "", lambda: channel.unary_unary("/grpc.health.v1.Health/Nothing")(b"")),
    (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "expected at most 16384",
        lambda: stub.Add(pb.AddRequest(), metadata=[("x-long", "x" * 30_000)]),
    ),
]:
    try:
        raise SystemExit(f"no error: {call()}")
    except grpc.RpcError as error:
        assert error.code() == code and text in error.details(), error

for service in ("", "everywire.v1.Toolkit"):
    status = health.Check(health_pb2.HealthCheckRequest(service=service)).status
    assert status == health_pb2.HealthCheckResponse.SERVING, service

watch = health.Watch(health_pb2.HealthCheckRequest(service="no.Such"))
assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
assert watch.is_active()
watch.cancel()

# grpcio compresses only what gets shorter, as this name does.
zipped = grpc.insecure_channel(f"127.0.0.1:{port}", compression=grpc.Compression.Gzip)
assert not pb_grpc.ToolkitStub(zipped).LockState(pb.LockStateRequest(name="a" * 150)).held
assert len(pb_grpc.ToolkitStub(zipped).NextIds(pb.NextIdsRequest(count=10_000)).value) == 10_000
assert health_pb2_grpc.HealthStub(zipped).Check(health_pb2.HealthCheckRequest()).status == 1

# The same without the .proto: reflection tells all that a client needs.
reflected = ProtoReflectionDescriptorDatabase(channel)
assert "everywire.v1.Toolkit" in reflected.get_services()
try:
    raise SystemExit(f"no error: {reflected.FindFileContainingSymbol('no.Such')}")
except KeyError:
    pass
pool = descriptor_pool.DescriptorPool(reflected)
method = pool.FindServiceByName("everywire.v1.Toolkit").FindMethodByName("Add")
request = message_factory.GetMessageClass(method.input_type)(a=3, b=4)
call = channel.unary_unary(
    "/everywire.v1.Toolkit/Add",
    request_serializer=lambda message: message.SerializeToString(),
    response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
)
assert call(request).value == 7
print("ok")
