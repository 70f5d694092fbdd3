"""RabbitMQ with pika, as in its RPC tutorial: add, a lock with its fencing token, ids, an error.

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
            self.answer = json.loads(body)

    def call(self, method, **params):
        self.number, self.answer = str(uuid.uuid4()), None
        properties = pika.BasicProperties(
            content_type="application/json",
            correlation_id=self.number,
            reply_to="amq.rabbitmq.reply-to",
            expiration=str(SECONDS * 1_000),  # nobody runs it once its caller has given it up
        )
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        self.channel.basic_publish("", QUEUE, body, properties)
        deadline = time.monotonic() + SECONDS
        while self.answer is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method}: no answer within {SECONDS} s")
            self.connection.process_data_events(time_limit=1)
        if "error" in self.answer:
            raise RpcError(**self.answer["error"])
        return self.answer["result"]


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

try:
    sys.exit(f"no error, but {toolkit.call('lock', name=name, ttl_ms=0)}")
except RpcError as error:
    print("a lock for 0 ms:", error, error.data)
    assert error.code == -32602 and error.data["code"] == "INVALID_ARGUMENT"
toolkit.connection.close()
