"""A gRPC server with Python's grpcio that rejects calls without a token, those of its reflection too. See service.py."""

from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_reflection.v1alpha import reflection

import service
import stubs

pb, pb_grpc = stubs.generate(service.FOLDER)

TOKEN = ("authorization", "Bearer secret")


def reject(_request, context):
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")


class Guard(grpc.ServerInterceptor):
    """Lets calls with the token pass."""

    def intercept_service(self, continuation, details):
        if TOKEN in details.invocation_metadata:
            return continuation(details)
        return grpc.unary_unary_rpc_method_handler(reject)


class Servicer(pb_grpc.InteropServicer):
    """The one method of the service that is called."""

    def Add(self, request, _context):
        return pb.AddReply(value=request.a + request.b)


server = grpc.server(ThreadPoolExecutor(1), interceptors=[Guard()])
pb_grpc.add_InteropServicer_to_server(Servicer(), server)
reflection.enable_server_reflection(("interop.v1.Interop", reflection.SERVICE_NAME), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
service.listening(service.python("grpcio"), port)
server.wait_for_termination()
