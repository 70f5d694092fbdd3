// JSON-RPC over one WebSocket with ws: many calls in flight, a lock with its fencing token, ids, a stream, an error.
//
// npm install --prefix examples/node && node examples/node/websocket.mjs [ws://127.0.0.1:4244]

import assert from 'node:assert/strict';
import { once } from 'node:events';
import JSONbig from 'json-bigint';
import WebSocket from 'ws';

const socket = new WebSocket(process.argv[2] ?? 'ws://127.0.0.1:4244');
await once(socket, 'open');

// Responses arrive in the order in which calls finish. The id says which call each belongs to.
const waiting = new Map();
let last = 0;
// Takes the items of the only subscription.
let subscriber;
// JSON.parse rounds integers beyond 2^53, and ids are larger: json-bigint makes a BigInt of them.
const exact = JSONbig({ useNativeBigInt: true });
socket.on('message', (message) => {
    const { id, error, result, params } = exact.parse(message.toString());
    if (id === undefined) return subscriber(params);
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(Object.assign(new Error(error.message), error));
    else resolve(result);
});
socket.on('close', () => waiting.forEach(({ reject }) => reject(new Error('the connection is lost'))));

function call(method, ...params) {
    return new Promise((resolve, reject) => {
        const id = ++last;
        waiting.set(id, { resolve, reject });
        socket.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    });
}

const sums = await Promise.all(Array.from({ length: 100 }, (_, number) => call('add', number, number)));
console.log('100 calls at the same time:', sums.slice(0, 5), '…');
assert(sums.length === 100 && sums.every((sum, number) => sum === 2 * number));

// A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
const name = 'websocket.mjs';
const { granted, owner, token } = await call('lock', name, 10_000, 15_000);
assert(granted);
// Send the token with each write, and let the storage reject one lower than the highest it has seen.
console.log('locked by', owner, 'with the fencing token', token);
const renewed = await call('renew', name, owner, 10_000);
assert(renewed.granted && renewed.token === token);

// Another owner waits, on the same connection, until the lock is released.
const second = call('lock', name, 10_000, 15_000);
assert.equal(await call('unlock', name, owner), true);
const later = await second;
console.log('the one who waited has', later.token);
assert(later.granted && later.token > token);
await call('unlock', name, later.owner);

const ids = await call('next_ids', 1_000);
console.log('1000 ids, from', ids[0], 'to', ids.at(-1));
assert(ids.length === 1_000 && ids.every((id, index) => index === 0 || id > ids[index - 1]));

// A stream: a subscription, whose items the server sends.
const stream = [];
const done = new Promise((resolve, reject) => {
    subscriber = ({ result, error }) => {
        if (result !== undefined) stream.push(result);
        else if (error) reject(Object.assign(new Error(error.message), error));
        else resolve();
    };
});
await call('subscribe_ids', 10_000);
await done;
console.log('a stream of', stream.length, 'ids, up to', stream.at(-1));
assert(stream.length === 10_000 && stream.every((id, index) => index === 0 || id > stream[index - 1]));

const error = await call('lock', name, 0).catch((error) => error);
console.log('a lock for 0 ms:', error.code, error.message);
assert.equal(error.code, -32602);
socket.close();
