"""JSON-RPC over one WebSocket with websockets: many calls in flight, a lock with its fencing token, ids, a stream, an error.

pip install websockets && python3 examples/python/websocket_client.py [ws://127.0.0.1:4244]
"""

import asyncio
import itertools
import json
import sys

from websockets.asyncio.client import connect

url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:4244"


class Client:
    """Responses arrive in the order in which calls finish. The id says which call each belongs to."""

    def __init__(self, socket):
        self.socket, self.numbers, self.waiting = socket, itertools.count(1), {}
        self.items = asyncio.Queue()

    async def read(self):
        async for message in self.socket:
            answer = json.loads(message)
            if "id" in answer:
                self.waiting.pop(answer["id"]).set_result(answer)
            else:
                await self.items.put(answer["params"])

    async def subscribed(self, method, *params):
        """The items of a stream, as the server sends them; of one stream at a time."""
        subscription = await self.call(f"subscribe_{method}", *params)
        while "result" in (item := await self.items.get()):
            assert item["subscription"] == subscription
            yield item["result"]
        assert item["error"] is None, item

    async def call(self, method, *params):
        number = next(self.numbers)
        self.waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
        answer = await asyncio.wait_for(self.waiting[number], timeout=30)
        if "error" in answer:
            raise RuntimeError("{code}: {message}".format(**answer["error"]))
        return answer["result"]


async def main():
    async with connect(url) as socket:
        client = Client(socket)
        reading = asyncio.create_task(client.read())

        sums = await asyncio.gather(*(client.call("add", number, number) for number in range(100)))
        print("100 calls at the same time:", sums[:5], "…")
        assert sums == [2 * number for number in range(100)]

        # A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
        name = "websocket_client.py"
        lock = await client.call("lock", name, 10_000, 15_000)
        assert lock["granted"], lock
        owner, token = lock["owner"], lock["token"]
        # Send the token with each write, and let the storage reject one lower than the highest it has seen.
        print("locked by", owner, "with the fencing token", token)
        renewed = await client.call("renew", name, owner, 10_000)
        assert renewed["granted"] and renewed["token"] == token, renewed

        # Another owner waits, on the same connection, until the lock is released.
        waiting = asyncio.create_task(client.call("lock", name, 10_000, 15_000))
        while (await client.call("lock_state", name))["waiting"] == 0:
            assert not waiting.done(), await waiting
        assert await client.call("unlock", name, owner)
        later = await waiting
        print("the one who waited has", later["token"])
        assert later["granted"] and later["token"] > token, later
        await client.call("unlock", name, later["owner"])

        ids = await client.call("next_ids", 1_000)
        print("1000 ids, from", ids[0], "to", ids[-1])
        assert len(ids) == 1_000 and sorted(set(ids)) == ids

        stream = [id async for id in client.subscribed("ids", 10_000)]
        print("a stream of", len(stream), "ids, up to", stream[-1])
        assert len(stream) == 10_000 and sorted(set(stream)) == stream

        try:
            sys.exit(f"no error, but {await client.call('lock', name, 0)}")
        except RuntimeError as error:
            print("a lock for 0 ms:", error)
            assert str(error).startswith("-32602: ")
        reading.cancel()


asyncio.run(main())
