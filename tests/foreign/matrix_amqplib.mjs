// JSON-RPC over AMQP with Node's amqplib. See cases.mjs.

import { Client, QUEUE, need, run } from './cases.mjs';
import { NOTES, Waiting, request } from './exact_json.mjs';

const amqplib = need('amqplib');
const DIRECT = 'amq.rabbitmq.reply-to';

class Amqplib extends Client {
    static library = 'amqplib';
    static notes = {
        ...NOTES,
        deadline: 'As the property `expiration`.',
        cancel: 'By closing the connection; the server notices within 5 s.',
    };

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

    callWith({ metadata, timeoutMs: expiration, trace }, method, ...args) {
        const id = ++this.last;
        const body = Buffer.from(request(id, method, args));
        const headers = { ...metadata, ...trace };
        this.channel.sendToQueue(QUEUE, body, { replyTo: DIRECT, correlationId: `${id}`, expiration, headers });
        return this.waiting.wait(id);
    }

    async giveUp(begun, method, ...args) {
        this.call(method, ...args);
        await begun();
        await this.close();
    }

    async close() {
        const { connection } = this;
        this.connection = null;
        await connection?.close();
    }
}

await run(Amqplib);
