"""The service as JSON-RPC over WebSockets, with Python's websockets. See service.py."""

import asyncio

from websockets.asyncio.server import serve

import json_service
import service


async def session(socket):
    async def answer(request):
        await socket.send(await asyncio.to_thread(json_service.respond, request))

    async with asyncio.TaskGroup() as calls:
        async for request in socket:
            calls.create_task(answer(request))


async def main():
    async with serve(session, "127.0.0.1", 0) as server:
        name = service.python("websockets", "jsonrpcserver")
        service.listening(name, server.sockets[0].getsockname()[1], notes=json_service.NOTES)
        await server.serve_forever()


asyncio.run(main())
