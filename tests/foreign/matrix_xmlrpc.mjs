// Node's xmlrpc. See cases.mjs.

import { Agent } from 'node:http';
import { Client, Fault, MESSAGE, PER_CLIENT, TOO_LATE, deep, integers, need, run } from './cases.mjs';

const xmlrpc = need('xmlrpc');
const CustomType = need('xmlrpc/lib/customtype');

class I8 extends CustomType {
    tagName = 'i8';
}

class Xmlrpc extends Client {
    static library = 'xmlrpc';
    static notFound = [5, `NOT_FOUND: ${MESSAGE}`];
    static tooLate = [4, `DEADLINE_EXCEEDED: ${TOO_LATE}`];
    static cannot = {
        u64: [
            "Unknown XML-RPC tag 'BIGINTEGER'",
            'The library does not read `<biginteger>`, in which integers from 2⁶³ on travel.',
        ],
    };
    static notes = {
        i64: 'Beyond 32 bits an integer is sent as a `CustomType` with the tag `i8`, and read as a string.',
        reuse: "In the pool of an `http.Agent` that has `keepAlive`, as Node's default agent has it since version 19.",
        metadata: PER_CLIENT,
        deadline: PER_CLIENT,
        trace: PER_CLIENT,
        cancel: 'By destroying its agent, which closes the connection.',
    };

    static async connect(address) {
        const client = new Xmlrpc();
        client.address = address;
        client.agent = new Agent({ keepAlive: true });
        client.client = client.other({});
        return client;
    }

    other(headers) {
        const [host, port] = this.address.split(':');
        return xmlrpc.createClient({ host, port, path: '/', agent: this.agent, headers });
    }

    async callWith(context, method, ...args) {
        const headers = context.headers();
        const client = Object.keys(headers).length ? this.other(headers) : this.client;
        const reply = await new Promise((resolve, reject) =>
            client.methodCall(method, deep(args, sent), (error, reply) => {
                if (error?.faultCode) reject(new Fault(error.faultCode, error.faultString));
                else if (error) reject(error);
                else resolve(reply);
            }),
        );
        return method === 'int' ? BigInt(reply) : integers(reply);
    }

    async giveUp(begun, method, ...args) {
        const call = this.call(method, ...args).catch(() => {});
        await begun();
        this.agent.destroy();
        await call;
    }

    async close() {
        this.agent.destroy();
    }
}

/** Integers as numbers where 32 bits hold them. */
function sent(leaf) {
    if (typeof leaf !== 'bigint') return leaf;
    return leaf === BigInt.asIntN(32, leaf) ? Number(leaf) : new I8(String(leaf));
}

await run(Xmlrpc);
