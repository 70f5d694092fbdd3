"""RabbitMQ with pika, as in its RPC tutorial: add, a lock with its fencing token, ids, a stream, an error.

The server needs `--amqp amqp://localhost`.

pip install pika && python3 examples/python/amqp_client.py [amqp://localhost]
"""

import json
import sys
import time
import uuid

import pika

url = sys.argv[1] if len(sys.argv) > 1 else "amqp://localhost"
QUEUE = "everywire.v1.Toolkit"
SECONDS = 30


class RpcError(Exception):
    def __init__(self, code, message, data=None):
        super().__init__(f"{code} {message}")
        self.code, self.data = code, data


class Toolkit:
    def __init__(self):
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        # RabbitMQ's direct reply-to: no queue is declared for the responses.
        self.channel.basic_consume("amq.rabbitmq.reply-to", self.on_answer, auto_ack=True)

    def on_answer(self, channel, method, properties, body):
        if properties.correlation_id == self.number:
            self.answers.append((properties, json.loads(body)))

    def call(self, method, **params):
        self.send(method, params)
        return self.receive()[1]

    def stream(self, method, **params):
        """The items of a stream. `credit` is how many may be on the way; a message `$/credit` grants more."""
        self.send(method, params, headers={"credit": 2_000})
        is_last, taken = False, 0
        while not is_last:
            properties, items = self.receive()
            is_last, taken = properties.headers["end"], taken + len(items)
            if taken >= 1_000 and not is_last:
                more = {"type": "$/credit", "headers": {"credit": taken}, "reply_to": "amq.rabbitmq.reply-to"}
                more = pika.BasicProperties(correlation_id=self.number, **more)
                self.channel.basic_publish("", properties.reply_to, b"", more)
                taken = 0
            yield from items

    def send(self, method, params, headers=None):
        self.method, self.number, self.answers = method, str(uuid.uuid4()), []
        properties = pika.BasicProperties(
            content_type="application/json",
            correlation_id=self.number,
            reply_to="amq.rabbitmq.reply-to",
            expiration=str(SECONDS * 1_000),  # nobody runs it once its caller has given it up
            headers=headers,
        )
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        self.channel.basic_publish("", QUEUE, body, properties)

    def receive(self):
        deadline = time.monotonic() + SECONDS
        while not self.answers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.method}: no answer within {SECONDS} s")
            self.connection.process_data_events(time_limit=1)
        properties, answer = self.answers.pop(0)
        if "error" in answer:
            raise RpcError(**answer["error"])
        return properties, answer["result"]


toolkit = Toolkit()
total = toolkit.call("add", a=3, b=4)
print("3 + 4 =", total)
assert total == 7

# A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
name = "amqp_client.py"
lock = toolkit.call("lock", name=name, ttl_ms=10_000, wait_ms=15_000)
assert lock["granted"], lock
owner, token = lock["owner"], lock["token"]
# Send the token with each write, and let the storage reject one lower than the highest it has seen.
print("locked by", owner, "with the fencing token", token)
assert not toolkit.call("lock", name=name, ttl_ms=10_000)["granted"], "somebody else tries once"
renewed = toolkit.call("renew", name=name, owner=owner, ttl_ms=10_000)
assert renewed["granted"] and renewed["token"] == token, renewed
assert toolkit.call("unlock", name=name, owner=owner)
later = toolkit.call("lock", name=name, ttl_ms=10_000)
print("locked again with", later["token"])
assert later["token"] > token
toolkit.call("unlock", name=name, owner=later["owner"])

ids = toolkit.call("next_ids", count=1_000)
print("1000 ids, from", ids[0], "to", ids[-1])
assert len(ids) == 1_000 and sorted(set(ids)) == ids

stream = list(toolkit.stream("ids", count=10_000))
print("a stream of", len(stream), "ids, up to", stream[-1])
assert len(stream) == 10_000 and sorted(set(stream)) == stream

try:
    sys.exit(f"no error, but {toolkit.call('lock', name=name, ttl_ms=0)}")
except RpcError as error:
    print("a lock for 0 ms:", error, error.data)
    assert error.code == -32602 and error.data["code"] == "INVALID_ARGUMENT"
toolkit.connection.close()
