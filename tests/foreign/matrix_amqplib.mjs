// JSON-RPC over AMQP with Node's amqplib. See cases.mjs.

import { QUEUE, need, run } from './cases.mjs';
import { NOTES, Waiting, request } from './exact_json.mjs';

const amqplib = need('amqplib');
const DIRECT = 'amq.rabbitmq.reply-to';

class Amqplib {
    static library = 'amqplib';
    static notes = NOTES;

    static async connect(address) {
        const client = new Amqplib();
        client.last = 0;
        client.waiting = new Waiting();
        client.connection = await amqplib.connect(`amqp://${address}`);
        client.channel = await client.connection.createChannel();
        const answered = ({ content }) => client.waiting.response(content.toString());
        await client.channel.consume(DIRECT, answered, { noAck: true });
        return client;
    }

    call(method, ...args) {
        const id = ++this.last;
        const body = Buffer.from(request(id, method, args));
        this.channel.sendToQueue(QUEUE, body, { replyTo: DIRECT, correlationId: `${id}` });
        return this.waiting.wait(id);
    }

    close() {
        return this.connection.close();
    }
}

await run(Amqplib);
