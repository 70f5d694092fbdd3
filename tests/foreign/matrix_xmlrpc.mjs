// Node's xmlrpc. See cases.mjs.

import { Agent } from 'node:http';
import { Fault, MESSAGE, deep, integers, need, run } from './cases.mjs';

const xmlrpc = need('xmlrpc');
const CustomType = need('xmlrpc/lib/customtype');

class I8 extends CustomType {
    tagName = 'i8';
}

class Xmlrpc {
    static library = 'xmlrpc';
    static notFound = [5, `NOT_FOUND: ${MESSAGE}`];
    static cannot = {
        u64: [
            "Unknown XML-RPC tag 'BIGINTEGER'",
            'The library does not read `<biginteger>`, in which integers from 2⁶³ on travel.',
        ],
    };
    static notes = {
        i64: 'Beyond 32 bits an integer is sent as a `CustomType` with the tag `i8`, and read as a string.',
        reuse: "In the pool of an `http.Agent` that has `keepAlive`, as Node's default agent has it since version 19.",
    };

    static async connect(address) {
        const [host, port] = address.split(':');
        const client = new Xmlrpc();
        client.agent = new Agent({ keepAlive: true });
        client.client = xmlrpc.createClient({ host, port, path: '/', agent: client.agent });
        return client;
    }

    async call(method, ...args) {
        const reply = await new Promise((resolve, reject) =>
            this.client.methodCall(method, deep(args, sent), (error, reply) => {
                if (error?.faultCode) reject(new Fault(error.faultCode, error.faultString));
                else if (error) reject(error);
                else resolve(reply);
            }),
        );
        return method === 'int' ? BigInt(reply) : integers(reply);
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
