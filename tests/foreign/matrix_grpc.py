"""Python's grpcio, with stubs from our .proto. See cases.py."""

import grpc

import cases
import stubs

pb, pb_grpc = stubs.generate(cases.FOLDER)


class Grpc(cases.Client):
    library = "grpcio"
    not_found = (grpc.StatusCode.NOT_FOUND, cases.MESSAGE)
    too_late = (grpc.StatusCode.DEADLINE_EXCEEDED, cases.TOO_LATE)
    watches = True
    entries = {**cases.Client.entries, "key-bin": b"\x00\x01\xff"}
    notes = {
        "deadline": "With the argument `timeout` the client's own timer may end the call before the server does; "
        "with metadata `grpc-timeout` alone only the server does.",
        "cancel": "By the call's `cancel()`.",
    }

    def __init__(self, address):
        # A channel of its own: channels to one address share their connections otherwise.
        self.channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self.stub = pb_grpc.InteropStub(self.channel)

    def start(self, method, *arguments, context=cases.NOTHING):
        request = getattr(pb, f"{method.capitalize()}Request")
        named = dict(zip(request.DESCRIPTOR.fields_by_name, arguments))
        timeout = 30
        headers = context.headers()
        if context.timeout_ms:
            # An argument `timeout` takes the place of this header.
            timeout = context.timeout_ms / 1000 if context.is_watched else None
        return getattr(self.stub, method.capitalize()).future(request(**named), timeout=timeout, metadata=headers.items())

    def call_with(self, context, method, *arguments):
        try:
            return stubs.reply_value(self.start(method, *arguments, context=context).result())
        except grpc.RpcError as error:
            raise cases.Fault(error.code(), error.details()) from error

    def give_up(self, begun, method, *arguments):
        call = self.start(method, *arguments)
        begun()
        call.cancel()

    def together(self, calls):
        """All on this one channel."""
        return [stubs.reply_value(started.result()) for started in [self.start(*call) for call in calls]]

    def close(self):
        self.channel.close()


cases.run(Grpc)
