"""The service with Python's grpcio and stubs from our .proto. See service.py."""

from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_reflection.v1alpha import reflection

import service
import stubs

pb, pb_grpc = stubs.generate(service.FOLDER)
interop = service.Interop()


def method(name):
    """The method of the servicer that calls the service's."""

    def call(_servicer, request, context):
        try:
            value = getattr(interop, name)(**stubs.arguments(request))
        except service.NotFound as error:
            context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        return getattr(pb, f"{name.capitalize()}Reply")(value=value)

    return call


methods = {name.capitalize(): method(name) for name in service.METHODS}
servicer = type("Servicer", (pb_grpc.InteropServicer,), methods)()
server = grpc.server(ThreadPoolExecutor(8))
pb_grpc.add_InteropServicer_to_server(servicer, server)
reflection.enable_server_reflection(("interop.v1.Interop", reflection.SERVICE_NAME), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
service.listening(service.python("grpcio"), port)
server.wait_for_termination()
