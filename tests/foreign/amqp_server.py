"""The service as JSON-RPC over AMQP with Python's pika: RabbitMQ's RPC tutorial, and threads. See service.py."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pika

import json_service
import service


def received(channel, delivery, properties, body):
    """Runs a call on a thread; what goes out, goes out from this one."""

    def run():
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
service.listening(name, pika.URLParameters(service.BROKER).port, notes=json_service.NOTES)
channel.start_consuming()
