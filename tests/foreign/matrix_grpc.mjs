// Node's @grpc/grpc-js, with our .proto. See cases.mjs.

import { Client, FOLDER, Fault, NOTHING, deep, integers, need, run } from './cases.mjs';

const grpc = need('@grpc/grpc-js');
const Long = need('long');
const loaded = need('@grpc/proto-loader').loadSync(`${FOLDER}/interop.proto`, { keepCase: true, defaults: true });
const { Interop } = grpc.loadPackageDefinition(loaded).interop.v1;
const EXACT = 'Read as an object of the package long, or with the option `longs: String`; sent as a string.';
const LATE =
    "With the option `deadline` the client's own timer may end the call before the server does; with metadata " +
    '`grpc-timeout` alone only the server does.';

class Grpc extends Client {
    static library = '@grpc/grpc-js';
    static watches = true;
    static entries = { ...Client.entries, 'key-bin': Buffer.from([0, 1, 255]) };
    static notes = {
        i64: EXACT,
        u64: EXACT,
        deadline: LATE,
        cancel: "By the call's `cancel()`.",
    };

    static async connect(address) {
        const client = new Grpc();
        client.stub = new Interop(address, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
        return client;
    }

    /** Starts a call, which can be cancelled; its outcome is for `done`. */
    start(context, method, args, done) {
        const { path, requestType } = Interop.service[method[0].toUpperCase() + method.slice(1)];
        const named = requestType.type.field.map(({ name }, index) => [name, deep(args[index], sent)]);
        const headers = new grpc.Metadata();
        for (const [name, value] of Object.entries(context.headers())) headers.set(name, value);
        const options = context.isWatched ? { deadline: Date.now() + context.timeoutMs } : {};
        return this.stub[path.split('/').at(-1)](Object.fromEntries(named), headers, options, done);
    }

    async callWith(context, method, ...args) {
        const reply = await new Promise((resolve, reject) =>
            this.start(context, method, args, (error, reply) =>
                error ? reject(new Fault(error.code, error.details)) : resolve(reply),
            ),
        );
        return integers(deep(reply.value ?? null, received));
    }

    async giveUp(begun, method, ...args) {
        const call = this.start(NOTHING, method, args, () => {});
        await begun();
        call.cancel();
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
