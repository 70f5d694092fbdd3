// JSON-RPC over WebSocket with Node's ws. See cases.mjs.

import { once } from 'node:events';
import { need, run } from './cases.mjs';
import { NOTES, Waiting, request } from './exact_json.mjs';

const { WebSocket } = need('ws');

class Ws {
    static library = 'ws';
    static notes = NOTES;

    static async connect(address) {
        const client = new Ws();
        client.last = 0;
        client.waiting = new Waiting();
        client.socket = new WebSocket(`ws://${address}`);
        client.socket.on('message', (text) => client.waiting.response(text.toString()));
        await once(client.socket, 'open');
        return client;
    }

    call(method, ...args) {
        const id = ++this.last;
        this.socket.send(request(id, method, args));
        return this.waiting.wait(id);
    }

    async close() {
        this.socket.close();
        await once(this.socket, 'close');
    }
}

await run(Ws);
