"""The notes' gRPC server: `Add` on grpcio, with messages described here instead of generated."""
import os
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

INT64 = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


file = descriptor_pb2.FileDescriptorProto(name="echo.proto", package="everywire.v1", syntax="proto3")
for name, fields in (("AddRequest", "ab"), ("AddReply", ["value"])):
    message = file.message_type.add(name=name)
    for number, field in enumerate(fields, 1):
        message.field.add(name=field, number=number, type=INT64, label=OPTIONAL)
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
request, reply = (
    message_factory.GetMessageClass(pool.FindMessageTypeByName("everywire.v1." + name)) for name in ("AddRequest", "AddReply")
)
add = grpc.unary_unary_rpc_method_handler(
    lambda asked, _: reply(value=asked.a + asked.b),
    request_deserializer=request.FromString,
    response_serializer=reply.SerializeToString,
)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("everywire.v1.Echo", {"Add": add}),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
threading.Thread(target=end_with_parent, daemon=True).start()
print("127.0.0.1:%d" % port)
print("Python grpcio " + grpc.__version__, flush=True)
server.wait_for_termination()
