"""The service with Python's grpcio and stubs from our .proto. See service.py."""

import base64
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_reflection.v1alpha import reflection

import service
import stubs

pb, pb_grpc = stubs.generate(service.FOLDER)
interop = service.Interop()

NOTES = {
    "metadata": "From `context.invocation_metadata()`.",
    "deadline": "From `context.time_remaining()`; then grpcio runs the callbacks of `context.add_callback`.",
    "cancel": "grpcio runs the callbacks of `context.add_callback`.",
    "trace": "From `context.invocation_metadata()`.",
}


def call_of(context):
    """What travels with a call."""
    text = {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for name, value in context.invocation_metadata()
    }
    seconds = context.time_remaining()
    call = service.Call(text, None if seconds is None else seconds * 1000)
    context.add_callback(call.given_up.set)
    return call


def method(name):
    """The method of the servicer that calls the service's."""

    def call(_servicer, request, context):
        service.CALL.set(call_of(context))
        try:
            value = getattr(interop, name)(**stubs.arguments(request))
        except service.Coded as error:
            context.abort(grpc.StatusCode[error.code], str(error))
        return getattr(pb, f"{name.capitalize()}Reply")(value=value)

    return call


methods = {name.capitalize(): method(name) for name in service.METHODS}
servicer = type("Servicer", (pb_grpc.InteropServicer,), methods)()
server = grpc.server(ThreadPoolExecutor(8))
pb_grpc.add_InteropServicer_to_server(servicer, server)
reflection.enable_server_reflection(("interop.v1.Interop", reflection.SERVICE_NAME), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
service.listening(service.python("grpcio"), port, notes=NOTES)
server.wait_for_termination()
