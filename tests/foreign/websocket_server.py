"""The service as JSON-RPC over WebSockets, with Python's websockets. See service.py."""

import asyncio
import json

from websockets.asyncio.server import serve

import json_service
import service

MEMBERS = "jsonrpcserver rejects members it does not know, so the server takes them out of the request first."
NOTES = {
    **json_service.NOTES,
    "metadata": MEMBERS,
    "deadline": f"{MEMBERS} The method stops by itself.",
    "cancel": "jsonrpcserver does not know `$/cancelRequest`. everywire's client then closes the WebSocket, which ends the server's loop over messages.",
    "trace": MEMBERS,
}


def taken_out(request):
    """What travels with a call, and its request without it."""
    request = json.loads(request)
    meta, timeout_ms = request.pop("meta", {}), request.pop("timeout_ms", None)
    trace = {name: request.pop(name) for name in ("traceparent", "tracestate") if name in request}
    return service.Call({**meta, **trace}, timeout_ms), json.dumps(request)


async def session(socket):
    running = set()

    async def answer(call, request):
        running.add(call)
        service.CALL.set(call)
        response = await asyncio.to_thread(json_service.respond, request)
        running.remove(call)
        # A notification has no response.
        if response and not call.given_up.is_set():
            await socket.send(response)

    async with asyncio.TaskGroup() as calls:
        async for request in socket:
            calls.create_task(answer(*taken_out(request)))
        for call in running:
            call.given_up.set()


async def main():
    async with serve(session, "127.0.0.1", 0) as server:
        name = service.python("websockets", "jsonrpcserver")
        service.listening(name, server.sockets[0].getsockname()[1], notes=NOTES)
        await server.serve_forever()


asyncio.run(main())
