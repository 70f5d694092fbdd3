"""The service as JSON-RPC over AMQP with Python's pika: RabbitMQ's RPC tutorial, and threads. See service.py."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pika

import json_service
import service

HEADERS = "From the message's property `headers`."
NOTES = {
    **json_service.NOTES,
    "metadata": HEADERS,
    "deadline": "From the message's property `expiration`; the method stops by itself.",
    "cancel": "The method declares the reply queue passively every 0.2 s until that fails.",
    "trace": HEADERS,
}


class AmqpCall(service.Call):
    """Of one message."""

    def __init__(self, properties):
        super().__init__(properties.headers or {}, properties.expiration and int(properties.expiration))
        self.reply_to = properties.reply_to

    def is_given_up_within(self, seconds):
        end = time.monotonic() + seconds
        with pika.BlockingConnection(pika.URLParameters(service.BROKER)) as own:
            channel = own.channel()
            while (left := end - time.monotonic()) > 0:
                try:
                    channel.queue_declare(self.reply_to, passive=True)
                except pika.exceptions.ChannelClosedByBroker:
                    return True
                own.sleep(min(left, 0.2))
        return False


def received(channel, delivery, properties, body):
    """Runs a call on a thread; what goes out, goes out from this one."""

    def run():
        service.CALL.set(AmqpCall(properties))
        response = json_service.respond(body.decode())
        connection.add_callback_threadsafe(partial(answered, channel, delivery, properties, response))

    threads.submit(run)


def answered(channel, delivery, properties, response):
    answer = pika.BasicProperties(correlation_id=properties.correlation_id)
    channel.basic_publish("", properties.reply_to, response, answer)
    channel.basic_ack(delivery.delivery_tag)


threads = ThreadPoolExecutor(8)
connection = pika.BlockingConnection(pika.URLParameters(service.BROKER))
channel = connection.channel()
channel.queue_declare(service.QUEUE)
channel.basic_qos(prefetch_count=8)
channel.basic_consume(service.QUEUE, received)
name = service.python("pika", "jsonrpcserver")
service.listening(name, pika.URLParameters(service.BROKER).port, notes=NOTES)
channel.start_consuming()
