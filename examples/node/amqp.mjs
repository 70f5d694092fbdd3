// RabbitMQ with amqplib, as in its RPC tutorial: add, a lock with its fencing token, ids, a stream, an error.
//
// The server needs `--amqp amqp://localhost`.
//
// npm install --prefix examples/node && node examples/node/amqp.mjs [amqp://localhost]

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import amqp from 'amqplib';
import JSONbig from 'json-bigint';

const QUEUE = 'everywire.v1.Toolkit';
const TIME_MS = 30_000;

const connection = await amqp.connect(process.argv[2] ?? 'amqp://localhost');
const channel = await connection.createChannel();
// JSON.parse rounds integers beyond 2^53, and ids are larger: json-bigint makes a BigInt of them.
const exact = JSONbig({ useNativeBigInt: true });
const waiting = new Map();
// RabbitMQ's direct reply-to: no queue is declared for the responses.
await channel.consume(
    'amq.rabbitmq.reply-to',
    ({ content, properties }) => waiting.get(properties.correlationId)?.(exact.parse(content.toString()), properties),
    { noAck: true },
);

async function call(method, params) {
    const correlationId = randomUUID();
    const answer = new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`${method}: no answer within ${TIME_MS} ms`)), TIME_MS);
        waiting.set(correlationId, (answer) => (clearTimeout(late), resolve(answer)));
    });
    channel.sendToQueue(QUEUE, Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })), {
        contentType: 'application/json',
        correlationId,
        replyTo: 'amq.rabbitmq.reply-to',
        expiration: TIME_MS, // nobody runs it once its caller has given it up
    });
    const { error, result } = await answer.finally(() => waiting.delete(correlationId));
    if (error) throw Object.assign(new Error(error.message), error);
    return result;
}

// The items of a stream. `credit` is how many may be on the way; a message `$/credit` grants more.
async function* items(method, params) {
    const correlationId = randomUUID();
    const options = { correlationId, replyTo: 'amq.rabbitmq.reply-to' };
    const arrived = [];
    let wake = () => {};
    waiting.set(correlationId, (answer, properties) => {
        arrived.push({ answer, properties });
        wake();
    });
    const request = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    channel.sendToQueue(QUEUE, Buffer.from(request), { ...options, headers: { credit: 2_000 } });
    for (let isLast = false, taken = 0; !isLast; ) {
        if (arrived.length === 0) await new Promise((resolve) => (wake = resolve));
        const { answer, properties } = arrived.shift();
        if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
        isLast = properties.headers.end;
        taken += answer.result.length;
        if (taken >= 1_000 && !isLast) {
            const more = { ...options, type: '$/credit', headers: { credit: taken } };
            channel.sendToQueue(properties.replyTo, Buffer.alloc(0), more);
            taken = 0;
        }
        yield* answer.result;
    }
    waiting.delete(correlationId);
}

const sum = await call('add', { a: 3, b: 4 });
console.log('3 + 4 =', sum);
assert.equal(sum, 7);

// A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
const name = 'amqp.mjs';
const { granted, owner, token } = await call('lock', { name, ttl_ms: 10_000, wait_ms: 15_000 });
assert(granted);
// Send the token with each write, and let the storage reject one lower than the highest it has seen.
console.log('locked by', owner, 'with the fencing token', token);
assert(!(await call('lock', { name, ttl_ms: 10_000 })).granted, 'somebody else tries once');
const renewed = await call('renew', { name, owner, ttl_ms: 10_000 });
assert(renewed.granted && renewed.token === token);
assert.equal(await call('unlock', { name, owner }), true);
const later = await call('lock', { name, ttl_ms: 10_000 });
console.log('locked again with', later.token);
assert(later.token > token);
await call('unlock', { name, owner: later.owner });

const ids = await call('next_ids', { count: 1_000 });
console.log('1000 ids, from', ids[0], 'to', ids.at(-1));
assert(ids.length === 1_000 && ids.every((id, index) => index === 0 || id > ids[index - 1]));

const stream = [];
for await (const id of items('ids', { count: 10_000 })) stream.push(id);
console.log('a stream of', stream.length, 'ids, up to', stream.at(-1));
assert(stream.length === 10_000 && stream.every((id, index) => index === 0 || id > stream[index - 1]));

const error = await call('lock', { name, ttl_ms: 0 }).catch((error) => error);
console.log('a lock for 0 ms:', error.code, error.message);
assert.equal(error.code, -32602);
await connection.close();
