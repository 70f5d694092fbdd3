// JSON-RPC over WebSocket with Node's ws. See cases.mjs.

import { once } from 'node:events';
import { Client, Fault, need, run } from './cases.mjs';
import { NOTES, Waiting, request } from './exact_json.mjs';

const { WebSocket } = need('ws');

class Ws extends Client {
    static library = 'ws';
    static notes = {
        ...NOTES,
        cancel: 'By a notification `$/cancelRequest`.',
    };

    static async connect(address) {
        const client = new Ws();
        client.last = 0;
        client.waiting = new Waiting();
        client.socket = new WebSocket(`ws://${address}`);
        client.socket.on('message', (text) => client.waiting.response(text.toString()));
        await once(client.socket, 'open');
        return client;
    }

    callWith({ metadata: meta, timeoutMs: timeout_ms, trace }, method, ...args) {
        const id = ++this.last;
        this.socket.send(request(id, method, args, { meta, timeout_ms, ...trace }));
        return this.waiting.wait(id);
    }

    async giveUp(begun, method, ...args) {
        const cancelled = this.call(method, ...args).catch((error) => error);
        await begun();
        const cancel = { jsonrpc: '2.0', method: '$/cancelRequest', params: { id: this.last } };
        this.socket.send(JSON.stringify(cancel));
        const error = await cancelled;
        if (!(error instanceof Fault && error.code === -32800)) throw error;
    }

    async close() {
        this.socket.close();
        await once(this.socket, 'close');
    }
}

await run(Ws);
