"""pika against everywire, as in RabbitMQ's RPC tutorial. Usage: amqp_client.py URL QUEUE"""

import json
import sys
import threading
import time
import uuid

import pika

URL, QUEUE = sys.argv[1:]


class RpcClient:
    def __init__(self, callback_queue=""):
        self.connection = pika.BlockingConnection(pika.URLParameters(URL))
        self.channel = self.connection.channel()
        if not callback_queue:
            result = self.channel.queue_declare(queue="", exclusive=True)
            callback_queue = result.method.queue
        self.callback_queue = callback_queue
        self.channel.basic_consume(queue=callback_queue, on_message_callback=self.on_response, auto_ack=True)

    def on_response(self, ch, method, props, body):
        if self.corr_id == props.correlation_id:
            assert props.content_type == "application/json", props
            self.response = body

    def call(self, body):
        self.response = None
        self.corr_id = str(uuid.uuid4())
        self.channel.basic_publish(
            exchange="",
            routing_key=QUEUE,
            properties=pika.BasicProperties(reply_to=self.callback_queue, correlation_id=self.corr_id),
            body=body,
        )
        deadline = time.monotonic() + 30
        while self.response is None:
            self.connection.process_data_events(time_limit=1)
            assert time.monotonic() < deadline, f"no answer to {body}"
        return json.loads(self.response)

    def __getattr__(self, method):
        def call(*params, **named):
            answer = self.call(
                json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params or named})
            )
            assert answer["jsonrpc"] == "2.0" and answer["id"] == 1, answer
            return answer.get("error") or answer["result"]

        return call


for callback_queue in ("", "amq.rabbitmq.reply-to"):
    c = RpcClient(callback_queue)
    assert c.add(3, 4) == 7
    assert c.add(b=2**62, a=2**62 - 1) == 2**63 - 1, "by name, and all 64 bits"
    name = f"python over amqp, {callback_queue or 'its own queue'}: 锁"
    grant = c.lock(name, 60_000, None, "owner 'ö'")
    assert grant["granted"] and grant["owner"] == "owner 'ö'" and grant["token"] > 0, grant
    again = c.lock(name, 60_000)
    assert not again["granted"] and again["ttl_ms"] > 50_000, again
    state = c.lock_state(name)
    assert state["held"] and state["waiting"] == 0, state
    assert c.unlock(name, "owner 'ö'") is True
    ids = c.next_ids(10_000)
    assert len(set(ids)) == 10_000 and ids == sorted(ids)

    for code, text, error in [
        (-32601, "no method `nothing`", c.nothing()),
        (-32602, "argument `b` is missing", c.add(1)),
        (-32602, "argument `b`: invalid type: string", c.add(1, "2")),
        (11, "beyond 64 bits", c.add(2**63 - 1, 1)),
    ]:
        assert error["code"] == code and text in error["message"], error
    for body, code in [("hello", -32700), ("", -32700), ("{", -32700), ("7", -32600)]:
        answer = c.call(body)
        assert answer["error"]["code"] == code and answer["id"] is None, answer

# A call that waits, from another thread: a connection of pika's belongs to one.
holder, waiter = RpcClient(), RpcClient("amq.rabbitmq.reply-to")
assert holder.lock("waited for", 60_000, None, "first")["granted"]
granted = []
waiting = threading.Thread(target=lambda: granted.append(waiter.lock("waited for", 60_000, 20_000, "second")))
waiting.start()
while holder.lock_state("waited for")["waiting"] == 0:
    pass
assert holder.unlock("waited for", "first")
waiting.join(timeout=20)
assert granted[0]["owner"] == "second" and granted[0]["granted"], granted

# A notification runs and is not answered.
body = {"jsonrpc": "2.0", "method": "lock", "params": ["notified", 60_000, None, "me"]}
holder.channel.basic_publish(exchange="", routing_key=QUEUE, body=json.dumps(body))
while not holder.lock_state("notified")["held"]:
    pass
print("ok")
