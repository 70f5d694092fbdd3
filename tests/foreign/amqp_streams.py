"""Streams with pika: plain messages, and credit for the items. Usage: amqp_streams.py URL QUEUE"""

import json
import sys
import time
import uuid

import pika

URL, QUEUE = sys.argv[1:]


class Stream:
    """The items of a reply. It grants `window` items, and half of them again each time that half were read."""

    def __init__(self, client, method, *params, window=None):
        self.client, self.id, self.window = client, str(uuid.uuid4()), window
        self.server, self.taken, self.expected = None, 0, 0
        client.streams[self.id] = []
        headers = None if window is None else {"credit": window}
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        client.send(QUEUE, json.dumps(body), correlation_id=self.id, headers=headers)

    def grant(self, items):
        self.client.send(self.server, "", correlation_id=self.id, type="$/credit", headers={"credit": items})

    def cancel(self):
        self.client.send(self.server, "", correlation_id=self.id, type="$/cancelRequest")

    def message(self):
        props, body = self.client.receive(self.id)
        assert props.headers["seq"] == self.expected, props.headers
        self.expected += 1
        self.server = props.reply_to
        return props.headers["end"], json.loads(body)

    def __iter__(self):
        is_last = False
        while not is_last:
            is_last, response = self.message()
            if "error" in response:
                assert is_last
                raise RuntimeError(response["error"]["data"]["code"], response["error"]["message"])
            yield from response["result"]
            self.taken += len(response["result"])
            if not is_last and self.server and self.taken >= (self.window or 1) / 2:
                self.grant(self.taken)
                self.taken = 0


class Client:
    def __init__(self, replies="amq.rabbitmq.reply-to"):
        self.connection = pika.BlockingConnection(pika.URLParameters(URL))
        self.channel = self.connection.channel()
        self.replies = replies or self.channel.queue_declare(queue="", exclusive=True).method.queue
        self.channel.basic_consume(queue=self.replies, on_message_callback=self.on_message, auto_ack=True)
        self.streams = {}

    def on_message(self, ch, method, props, body):
        self.streams[props.correlation_id].append((props, body))

    def send(self, to, body, **properties):
        properties = pika.BasicProperties(reply_to=self.replies, **properties)
        self.channel.basic_publish(exchange="", routing_key=to, properties=properties, body=body)

    def receive(self, id):
        deadline = time.monotonic() + 30
        while not self.streams[id]:
            self.connection.process_data_events(time_limit=1)
            assert time.monotonic() < deadline, "no message"
        return self.streams[id].pop(0)


client = Client()
for count in [0, 1, 2, 10_000]:
    assert list(Stream(client, "count", count, window=100)) == list(range(count)), count

# A client that says nothing of credit gets one item for each that it grants.
slow = Stream(client, "count", 20)
assert list(slow) == list(range(20))
assert slow.expected >= 20, slow.expected

# An error behind the items.
items = []
try:
    for item in Stream(client, "fail", 300, window=100):
        items.append(item)
    raise SystemExit("no error")
except RuntimeError as error:
    assert error.args == ("ABORTED", "enough"), error
assert items == list(range(300)), len(items)

# One that begins, and has nothing to send for a while.
start = time.monotonic()
silent = Stream(client, "silent", 1_000, window=1)
assert silent.message()[1]["result"] == [] and time.monotonic() - start < 0.9
assert list(silent) == [1_000]

# A stream that is cancelled sends nothing more, whatever credit it gets, and calls beside it go on.
dropped = Stream(client, "count", 1_000_000, window=10)
assert dropped.message()[1]["result"] == list(range(10))
dropped.cancel()
dropped.grant(10)
assert list(Stream(client, "count", 3, window=10)) == [0, 1, 2]
client.connection.process_data_events(time_limit=0.5)
assert not client.streams[dropped.id]

# With a queue of its own, a client can't grant more than its request does.
client = Client("")
assert list(Stream(client, "count", 1_000, window=1_000)) == list(range(1_000))
items = []
try:
    for item in Stream(client, "count", 1_001, window=1_000):
        items.append(item)
    raise SystemExit("no error")
except RuntimeError as error:
    assert error.args[0] == "RESOURCE_EXHAUSTED", error
assert len(items) == 1_000, len(items)
print("ok")
