// gRPC with @grpc/grpc-js: add, a lock with its fencing token, ids, a stream, a deadline, an error.
//
// npm install --prefix examples/node && node examples/node/grpc.mjs [127.0.0.1:50051]

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const proto = fileURLToPath(new URL('../../services/toolkit.proto', import.meta.url));
// 64 bits are strings here: a number would round them.
const options = { keepCase: true, longs: String, defaults: true };
const { Toolkit } = grpc.loadPackageDefinition(protoLoader.loadSync(proto, options)).everywire.v1;
const toolkit = new Toolkit(process.argv[2] ?? '127.0.0.1:50051', grpc.credentials.createInsecure());
const call = (method, request, options = {}) =>
    promisify(toolkit[method].bind(toolkit))(request, new grpc.Metadata(), options);

const { value: sum } = await call('Add', { a: 3, b: 4 });
console.log('3 + 4 =', sum);
assert.equal(sum, '7');

// A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
const name = 'grpc.mjs';
const { granted, owner, token } = await call('Lock', { name, ttl_ms: 10_000, wait_ms: 15_000 });
assert(granted);
// Send the token with each write, and let the storage reject one lower than the highest it has seen.
console.log('locked by', owner, 'with the fencing token', token);
const renewed = await call('Renew', { name, owner, ttl_ms: 10_000 });
assert(renewed.granted && renewed.token === token);

// The deadline travels with the call, so the server gives up the wait too.
const deadline = Date.now() + 200;
const late = await call('Lock', { name, ttl_ms: 1, wait_ms: 15_000 }, { deadline }).catch((error) => error);
console.log('a wait of 0.2 s:', grpc.status[late.code]);
assert.equal(late.code, grpc.status.DEADLINE_EXCEEDED);

assert.equal((await call('Unlock', { name, owner })).value, true);
const later = await call('Lock', { name, ttl_ms: 10_000 });
console.log('locked again with', later.token);
assert(BigInt(later.token) > BigInt(token));
await call('Unlock', { name, owner: later.owner });

const ids = (await call('NextIds', { count: 1_000 })).value.map(BigInt);
console.log('1000 ids, from', ids[0], 'to', ids.at(-1));
assert(ids.length === 1_000 && ids.every((id, index) => index === 0 || id > ids[index - 1]));

const stream = [];
for await (const { value } of toolkit.Ids({ count: 10_000 })) stream.push(BigInt(value));
console.log('a stream of', stream.length, 'ids, up to', stream.at(-1));
assert(stream.length === 10_000 && stream.every((id, index) => index === 0 || id > stream[index - 1]));

const error = await call('Lock', { name }).catch((error) => error);
console.log('a lock for 0 ms:', grpc.status[error.code], error.details);
assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
toolkit.close();
