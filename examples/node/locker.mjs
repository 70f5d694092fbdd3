// The limiter as plain ZeroMQ with zeromq: ask until no permit is left, then until there is one again.
//
// npm install --prefix examples/node && node examples/node/locker.mjs [tcp://127.0.0.1:7777]

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import zmq from 'zeromq';

// A request waits for ever for a lost reply. With these options it gives up after 5 s, and may then send again.
const socket = new zmq.Request({ receiveTimeout: 5_000, relaxed: true, correlate: true });
socket.connect(process.argv[2] ?? 'tcp://127.0.0.1:7777');

async function ask() {
    await socket.send('let me go');
    const word = String(await socket.receive());
    assert(word === 'go' || word === 'sorry', word);
    return word === 'go';
}

let given = 0;
while (await ask()) assert(++given < 10_000, 'there is no limit');
console.log('sorry, after', given, 'times go');

const since = Date.now();
while (!(await ask())) {
    assert(Date.now() < since + 30_000, 'no new slot within 30 s');
    await sleep(50);
}
console.log('go again after', (Date.now() - since) / 1_000, 's');
socket.close();
