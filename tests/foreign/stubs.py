"""Python's stubs of interop.proto, and its messages as plain values."""

import sys

from grpc_tools import protoc


def generate(folder):
    """The modules of messages and of stubs, made anew in the folder of interop.proto."""
    arguments = [f"-I{folder}", f"--python_out={folder}", f"--grpc_python_out={folder}", "interop.proto"]
    assert protoc.main(["protoc", *arguments]) == 0
    sys.path.insert(0, folder)
    import interop_pb2
    import interop_pb2_grpc

    return interop_pb2, interop_pb2_grpc


def plain(value):
    """A field's value without protobuf's types."""
    if hasattr(value, "DESCRIPTOR"):
        return {field.name: plain(getattr(value, field.name)) for field in value.DESCRIPTOR.fields}
    return [plain(item) for item in value] if hasattr(value, "append") else value


def reply_value(message):
    """The reply in a message: its field `value`, if that is there."""
    field = message.DESCRIPTOR.fields_by_name.get("value")
    if field is None or (field.has_presence and not message.HasField("value")):
        return None
    return plain(message.value)


def arguments(message):
    """The arguments in a request, by name; None for what is absent."""
    optional = [field.name for field in message.DESCRIPTOR.fields if field.has_presence]
    return {**plain(message), **{name: None for name in optional if not message.HasField(name)}}
