"""gRPC with grpcio: add, a lock with its fencing token, ids, a stream, a deadline, an error.

pip install grpcio grpcio-tools && python3 examples/python/grpc_client.py [127.0.0.1:50051]
"""

import pathlib
import sys

import grpc

target = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
# Generates the classes now; a project would run `python3 -m grpc_tools.protoc` at build time.
sys.path.append(str(pathlib.Path(__file__).parents[2] / "services"))
pb, pb_grpc = grpc.protos_and_services("toolkit.proto")
toolkit = pb_grpc.ToolkitStub(grpc.insecure_channel(target))

total = toolkit.Add(pb.AddRequest(a=3, b=4)).value
print("3 + 4 =", total)
assert total == 7

# A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
name = "grpc_client.py"
lock = toolkit.Lock(pb.LockRequest(name=name, ttl_ms=10_000, wait_ms=15_000))
assert lock.granted, lock
# Send the token with each write, and let the storage reject one lower than the highest it has seen.
print("locked by", lock.owner, "with the fencing token", lock.token)
renewed = toolkit.Renew(pb.RenewRequest(name=name, owner=lock.owner, ttl_ms=10_000))
assert renewed.granted and renewed.token == lock.token, renewed

# The deadline travels with the call, so the server gives up the wait too.
try:
    sys.exit(f"no error, but {toolkit.Lock(pb.LockRequest(name=name, ttl_ms=1, wait_ms=15_000), timeout=0.2)}")
except grpc.RpcError as error:
    print("a wait of 0.2 s:", error.code())
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED

assert toolkit.Unlock(pb.UnlockRequest(name=name, owner=lock.owner)).value
later = toolkit.Lock(pb.LockRequest(name=name, ttl_ms=10_000))
print("locked again with", later.token)
assert later.token > lock.token
toolkit.Unlock(pb.UnlockRequest(name=name, owner=later.owner))

ids = list(toolkit.NextIds(pb.NextIdsRequest(count=1_000)).value)
print("1000 ids, from", ids[0], "to", ids[-1])
assert len(ids) == 1_000 and sorted(set(ids)) == ids

stream = [item.value for item in toolkit.Ids(pb.IdsRequest(count=10_000))]
print("a stream of", len(stream), "ids, up to", stream[-1])
assert len(stream) == 10_000 and sorted(set(stream)) == stream

try:
    sys.exit(f"no error, but {toolkit.Lock(pb.LockRequest(name=name))}")
except grpc.RpcError as error:
    print("a lock for 0 ms:", error.code(), error.details())
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
