"""Python's grpcio, with stubs from our .proto. See cases.py."""

import grpc

import cases
import stubs

pb, pb_grpc = stubs.generate(cases.FOLDER)


class Grpc(cases.Client):
    library = "grpcio"
    not_found = (grpc.StatusCode.NOT_FOUND, cases.MESSAGE)

    def __init__(self, address):
        # A channel of its own: channels to one address share their connections otherwise.
        self.channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self.stub = pb_grpc.InteropStub(self.channel)

    def start(self, method, *arguments):
        request = getattr(pb, f"{method.capitalize()}Request")
        named = dict(zip(request.DESCRIPTOR.fields_by_name, arguments))
        return getattr(self.stub, method.capitalize()).future(request(**named), timeout=30)

    def call(self, method, *arguments):
        try:
            return stubs.reply_value(self.start(method, *arguments).result())
        except grpc.RpcError as error:
            raise cases.Fault(error.code(), error.details()) from error

    def together(self, calls):
        """All on this one channel."""
        return [stubs.reply_value(started.result()) for started in [self.start(*call) for call in calls]]

    def close(self):
        self.channel.close()


cases.run(Grpc)
