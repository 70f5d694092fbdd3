// JSON-RPC messages with all 64 bits, for libraries that leave JSON to their users.

import { Fault, NO_BYTES, integers, need } from './cases.mjs';

const JSON64 = need('json-bigint')({ useNativeBigInt: true, alwaysParseAsBig: true });
const EXACT = "With json-bigint: the numbers of JavaScript's own `JSON` are doubles, exact up to 2⁵³.";

export const NOTES = { i64: EXACT, u64: EXACT, bytes: NO_BYTES };

/** The text of a request, with what else it has. */
export function request(id, method, args, members = {}) {
    const params = args.map((value) => (Buffer.isBuffer(value) ? [...value] : value));
    return JSON64.stringify({ jsonrpc: '2.0', id, method, params, ...members });
}

/** Keeps a promise for each request until its response is there. */
export class Waiting {
    #waiting = new Map();

    wait(id) {
        return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    }

    response(text) {
        const { id, result, error } = JSON64.parse(text);
        const { resolve, reject } = this.#waiting.get(Number(id));
        this.#waiting.delete(Number(id));
        if (error) reject(new Fault(Number(error.code), error.message));
        else resolve(integers(result));
    }
}
