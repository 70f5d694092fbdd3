// Node's @grpc/grpc-js, with our .proto. See cases.mjs.

import { FOLDER, Fault, deep, integers, need, run } from './cases.mjs';

const grpc = need('@grpc/grpc-js');
const Long = need('long');
const loaded = need('@grpc/proto-loader').loadSync(`${FOLDER}/interop.proto`, { keepCase: true, defaults: true });
const { Interop } = grpc.loadPackageDefinition(loaded).interop.v1;
const EXACT = 'Read as an object of the package long, or with the option `longs: String`; sent as a string.';

class Grpc {
    static library = '@grpc/grpc-js';
    static notes = { i64: EXACT, u64: EXACT };

    static async connect(address) {
        const client = new Grpc();
        client.stub = new Interop(address, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
        return client;
    }

    async call(method, ...args) {
        const { path, requestType } = Interop.service[method[0].toUpperCase() + method.slice(1)];
        const named = requestType.type.field.map(({ name }, index) => [name, deep(args[index], sent)]);
        const request = Object.fromEntries(named);
        const reply = await new Promise((resolve, reject) =>
            this.stub[path.split('/').at(-1)](request, (error, reply) =>
                error ? reject(new Fault(error.code, error.details)) : resolve(reply),
            ),
        );
        return integers(deep(reply.value ?? null, received));
    }

    async close() {
        this.stub.close();
    }
}

function sent(leaf) {
    return typeof leaf === 'bigint' ? String(leaf) : leaf;
}

function received(leaf) {
    return Long.isLong(leaf) ? BigInt(leaf.toString()) : leaf;
}

await run(Grpc);
