// XML-RPC with xmlrpc: add, a lock with its fencing token, ids, a stream, an error.
//
// npm install --prefix examples/node && node examples/node/xmlrpc.mjs [http://127.0.0.1:4242]

import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import xmlrpc from 'xmlrpc';

const client = xmlrpc.createClient(process.argv[2] ?? 'http://127.0.0.1:4242');
const methodCall = promisify(client.methodCall.bind(client));
const call = (method, ...params) => methodCall(method, params);

const sum = await call('add', 3, 4);
console.log('3 + 4 =', sum);
assert.equal(sum, 7);

// A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
const name = 'xmlrpc.mjs';
const { granted, owner, token } = await call('lock', name, 10_000, 15_000);
assert(granted);
// Send the token with each write, and let the storage reject one lower than the highest it has seen.
console.log('locked by', owner, 'with the fencing token', token);
assert(!(await call('lock', name, 10_000)).granted, 'somebody else tries once');
const renewed = await call('renew', name, owner, 10_000);
assert(renewed.granted && renewed.token === token);
assert.equal(await call('unlock', name, owner), true);
const later = await call('lock', name, 10_000);
console.log('locked again with', later.token);
assert(later.token > token);
await call('unlock', name, later.owner);

// Integers beyond 32 bits are an i8 on the wire, and a string in this library: a number would round them.
const ids = (await call('next_ids', 1_000)).map(BigInt);
console.log('1000 ids, from', ids[0], 'to', ids.at(-1));
assert(ids.length === 1_000 && ids.every((id, index) => index === 0 || id > ids[index - 1]));

// A stream: the reply has the first items. `stream.next` waits for more, and is told how many have arrived.
let part = await call('ids', 10_000);
const { token: rest } = part;
const stream = part.values.map(BigInt);
while (!part.finished) {
    part = await call('stream.next', rest, stream.length);
    stream.push(...part.values.map(BigInt));
}
console.log('a stream of', stream.length, 'ids, up to', stream.at(-1));
assert(stream.length === 10_000 && stream.every((id, index) => index === 0 || id > stream[index - 1]));

const error = await call('lock', name, 0).catch((error) => error);
console.log('a lock for 0 ms:', error.faultCode, error.faultString);
assert.equal(error.faultCode, -32602);
