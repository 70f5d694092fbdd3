// JSON-RPC over HTTP with Node's jayson. See cases.mjs.

import { once } from 'node:events';
import { Agent } from 'node:http';
import { Client, Fault, NO_BYTES, deep, integers, need, run } from './cases.mjs';

const jayson = need('jayson');
const DOUBLES = "jayson reads and writes with JavaScript's `JSON`, whose numbers are doubles: exact up to 2⁵³.";
const HOOK = 'As headers of the request, set in a listener for the event `http request`.';

class Jayson extends Client {
    static library = 'jayson';
    static cannot = { i64: ['floating point', DOUBLES], u64: ['floating point', DOUBLES] };
    static notes = {
        bytes: NO_BYTES,
        reuse: "In the pool of an `http.Agent` that has `keepAlive`, as Node's default agent has it since version 19.",
        metadata: HOOK,
        deadline: HOOK,
        trace: HOOK,
        cancel: 'By destroying the request that the event `http request` passes.',
    };

    static async connect(address) {
        const [hostname, port] = address.split(':');
        const client = new Jayson();
        client.agent = new Agent({ keepAlive: true });
        client.client = jayson.Client.http({ hostname, port, agent: client.agent });
        return client;
    }

    async callWith(context, method, ...args) {
        // It is emitted while `request` runs, so no other call has these headers.
        this.client.once('http request', (request) => {
            for (const [name, value] of Object.entries(context.headers())) request.setHeader(name, value);
        });
        return new Promise((resolve, reject) =>
            this.client.request(method, deep(args, sent), (failed, error, result) => {
                if (failed) reject(failed);
                else if (error) reject(new Fault(error.code, error.message));
                else resolve(integers(result));
            }),
        );
    }

    async giveUp(begun, method, ...args) {
        const requested = once(this.client, 'http request');
        const call = this.call(method, ...args).catch(() => {});
        const [request] = await requested;
        await begun();
        request.destroy();
        await call;
    }

    async close() {
        this.agent.destroy();
    }
}

function sent(leaf) {
    if (typeof leaf === 'bigint') return Number(leaf);
    return Buffer.isBuffer(leaf) ? [...leaf] : leaf;
}

await run(Jayson);
