// Streams over a WebSocket with Node's ws, pulled and sent. Usage: websocket_streams.mjs PORT

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { need } from './cases.mjs';

const { WebSocket } = need('ws');
const socket = new WebSocket(`ws://127.0.0.1:${process.argv[2]}`);
await once(socket, 'open');

const messages = [];
let wake = () => {};
socket.on('message', (text) => {
    messages.push(JSON.parse(text));
    wake();
});

async function receive() {
    while (messages.length === 0) await new Promise((resolve) => (wake = resolve));
    return messages.shift();
}

let id = 0;
async function call(method, ...params) {
    socket.send(JSON.stringify({ jsonrpc: '2.0', id: ++id, method, params }));
    const response = await receive();
    assert.equal(response.id, id);
    if (response.error) throw Object.assign(new Error(response.error.message), response.error);
    return response.result;
}

// The items of a stream, asked for.
async function* pulled(method, ...params) {
    let part = await call(method, ...params);
    const { token } = part;
    try {
        yield* part.values;
        while (!part.finished) {
            part = await call('$/enumerator/next', token);
            yield* part.values;
        }
    } finally {
        if (!part.finished) await call('$/enumerator/abort', token);
    }
}

// The items of a stream, as they are sent.
async function* sent(method, ...params) {
    const subscription = await call(`subscribe_${method}`, ...params);
    while (true) {
        const { params: item } = await receive();
        assert.equal(item.subscription, subscription);
        if (item.error) throw Object.assign(new Error(item.error.message), item.error);
        if (item.error === null) return;
        yield item.result;
    }
}

for (const items of [pulled, sent]) {
    for (const count of [0, 1, 2, 20_000]) {
        let expected = 0;
        for await (const item of items('count', count)) assert.equal(item, expected++);
        assert.equal(expected, count);
    }
    let found = 0;
    const failing = (async () => {
        for await (const item of items('fail', 300)) assert.equal(item, found++);
    })();
    await assert.rejects(failing, { code: 10, message: 'enough' });
    assert.equal(found, 300);
}

// One that is left in the middle.
for await (const item of pulled('count', 1_000_000)) if (item === 10) break;
const subscription = await call('subscribe_silent', 3_600_000);
assert.equal(await call('unsubscribe_silent', subscription), true);
assert.deepEqual(await call('count', 1), { values: [0], finished: true });
socket.close();
console.log('ok');
