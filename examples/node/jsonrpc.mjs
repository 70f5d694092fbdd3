// JSON-RPC over HTTP with jayson: add, a lock with its fencing token, ids, a stream, a batch, an error.
//
// npm install --prefix examples/node && node examples/node/jsonrpc.mjs [http://127.0.0.1:4244]

import assert from 'node:assert/strict';
import Client from 'jayson/promise/lib/client/browser/index.js';
import JSONbig from 'json-bigint';

const url = process.argv[2] ?? 'http://127.0.0.1:4244';

// JSON.parse rounds integers beyond 2^53, and ids are larger: json-bigint makes strings of them.
const exact = JSONbig({ storeAsString: true });
const client = new Client(async (body) => {
    const answer = await fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
    return JSON.stringify(exact.parse(await answer.text()));
});

async function call(method, params) {
    const { error, result } = await client.request(method, params);
    if (error) throw Object.assign(new Error(error.message), error);
    return result;
}

const sum = await call('add', { a: 3, b: 4 });
console.log('3 + 4 =', sum);
assert.equal(sum, 7);

// A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
const name = 'jsonrpc.mjs';
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

const ids = (await call('next_ids', { count: 1_000 })).map(BigInt);
console.log('1000 ids, from', ids[0], 'to', ids.at(-1));
assert(ids.length === 1_000 && ids.every((id, index) => index === 0 || id > ids[index - 1]));

// A stream: the result has the first items. `$/enumerator/next` waits for more, and is told how many have arrived.
let part = await call('ids', { count: 10_000 });
const { token: rest } = part;
const stream = part.values.map(BigInt);
while (!part.finished) {
    part = await call('$/enumerator/next', { token: rest, received: stream.length });
    stream.push(...part.values.map(BigInt));
}
console.log('a stream of', stream.length, 'ids, up to', stream.at(-1));
assert(stream.length === 10_000 && stream.every((id, index) => index === 0 || id > stream[index - 1]));

// A batch: many calls in one request. Arguments may be given by position or by name.
const batch = [0, 1, 2, 3, 4].map((number) => client.request('add', [number, number], number, false));
const answers = await client.request(batch);
const sums = Object.fromEntries(answers.map(({ id, result }) => [id, result]));
console.log('one request, five answers:', sums);
assert.deepEqual(sums, { 0: 0, 1: 2, 2: 4, 3: 6, 4: 8 });

const error = await call('lock', { name, ttl_ms: 0 }).catch((error) => error);
console.log('a lock for 0 ms:', error.code, error.message, error.data);
assert(error.code === -32602 && error.data.code === 'INVALID_ARGUMENT');
