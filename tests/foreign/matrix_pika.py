"""JSON-RPC over AMQP, with Python's pika. See cases.py."""

import json
import uuid

import pika

import cases

DIRECT = "amq.rabbitmq.reply-to"


class Pika(cases.JsonRpc):
    library = "pika"
    notes = {
        **cases.JsonRpc.notes,
        "deadline": "As the property `expiration`.",
        "cancel": "By closing the connection; the server notices within 5 s.",
    }

    def __init__(self, address):
        self.connection = pika.BlockingConnection(pika.URLParameters(f"amqp://{address}"))
        self.channel = self.connection.channel()
        self.channel.basic_consume(DIRECT, self.answered, auto_ack=True)
        self.answers = {}

    def answered(self, _channel, _method, properties, body):
        self.answers[properties.correlation_id] = body

    def publish(self, request, context=cases.NOTHING):
        number = str(uuid.uuid4())
        expiration = str(context.timeout_ms) if context.timeout_ms else None
        properties = pika.BasicProperties(
            reply_to=DIRECT,
            correlation_id=number,
            expiration=expiration,
            headers={**context.metadata, **context.trace},
        )
        self.channel.basic_publish("", cases.QUEUE, request, properties)
        return number

    def answer(self, number):
        while number not in self.answers:
            self.connection.process_data_events(time_limit=None)
        return self.answers.pop(number)

    def exchange(self, request, context):
        return self.answer(self.publish(request, context))

    def give_up(self, begun, method, *arguments):
        self.publish(self.request(method, *arguments))
        begun()
        self.close()

    def together(self, calls):
        """All on this one channel."""
        numbers = [self.publish(self.request(*call)) for call in calls]
        return [self.reply(self.answer(number)) for number in numbers]

    def close(self):
        if self.connection.is_open:
            self.connection.close()


cases.run(Pika)
