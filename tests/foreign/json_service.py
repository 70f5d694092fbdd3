"""The service as JSON-RPC messages, with Python's jsonrpcserver: from the text of a request to that of its response."""

import functools

import jsonrpcserver

import service

NOTES = {
    "bytes": "JSON has no bytes: they are a list of numbers.",
    "fault": '`error.data` is `{"code": "NOT_FOUND"}`; without it, an `error.code` that is not reserved is `UNKNOWN`.',
}
interop = service.Interop()


def method(name):
    call = getattr(interop, name)

    @functools.wraps(call)
    def answer(*arguments, **named):
        try:
            return jsonrpcserver.Success(call(*arguments, **named))
        except service.Coded as error:
            return jsonrpcserver.Error(error.number, str(error), {"code": error.code})

    return answer


METHODS = {name: method(name) for name in service.METHODS}
respond = functools.partial(jsonrpcserver.dispatch, methods=METHODS)
