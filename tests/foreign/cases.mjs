// The cases of docs/interop.md for Node's clients, each of which is an adapter beside this file, `matrix_*.mjs`.
// See cases.py, which has the same cases. Integers are BigInt on this side of an adapter.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

export const [ADDRESS, COUNTED, NAME, FOLDER, QUEUE] = process.argv.slice(2);
export const MESSAGE = 'no such lock: 锁 <&> 100 %';
const TOGETHER = 4;
const DEADLINE_MS = 300;
const SOON_MS = 5000;
export const TOO_LATE = "linger did not finish by its caller's deadline";
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const TRACESTATE = 'vendor=x';
const TEXTS = ['', 'größer, Ω, 日本語, עברית', "😀 e\u0301 <&>'\"]]> \\ \n\t"];

const MODULES = new URL('../../target/node/node_modules/', import.meta.url);
export const need = createRequire(MODULES);

export const NO_BYTES = 'JSON has no bytes: they are a list of numbers.';

export const PER_CLIENT = 'Headers belong to a client object; a call with other headers needs its own.';

/** What travels with a call besides its arguments, and whether the library's own timer ends the call too. */
export class Context {
    constructor({ metadata = {}, timeoutMs, isWatched = false, trace = {} } = {}) {
        Object.assign(this, { metadata, timeoutMs, isWatched, trace });
    }

    /** All of it as headers of HTTP. */
    headers() {
        return { ...this.metadata, ...(this.timeoutMs && { 'grpc-timeout': `${this.timeoutMs}m` }), ...this.trace };
    }
}

export const NOTHING = new Context();

/**
 * A client of one library. An adapter has `connect(address)`, `callWith(context, method, ...args)`, `close()`, and
 * `giveUp(begun, method, ...args)`, which gives up a call after `begun()`, when the call is in its method.
 */
export class Client {
    /** The code and the message of the fault, and those of a call whose deadline has passed. */
    static notFound = [5, MESSAGE];
    static tooLate = [4, TOO_LATE];
    /** Whether the library has a timer of its own for deadlines. */
    static watches = false;
    /** Metadata that is sent. The value of a name that ends in `-bin` is a buffer, and base64 in the method. */
    static entries = { tenant: '7 <&>' };

    call(method, ...args) {
        return this.callWith(NOTHING, method, ...args);
    }
}

/** An error of the server, as the library shows it. */
export class Fault extends Error {
    constructor(code, text) {
        super(`fault ${code}: ${text}`);
        Object.assign(this, { code, text });
    }
}

async function add(client) {
    same(await client.call('add', 3n, 4n), 7n);
    same(await client.call('add', -5n, 4n), -1n);
}

async function signed(client) {
    for (const value of [-(2n ** 63n), -(2n ** 31n) - 1n, 0n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 63n - 1n])
        same(await client.call('int', value), value);
}

async function unsigned(client) {
    for (const value of [2n ** 63n, 2n ** 64n - 1n]) same(await client.call('uint', value), value);
}

async function optional(client) {
    for (const value of [null, '', 'x']) same(await client.call('maybe', value), value);
}

async function text(client) {
    for (const value of TEXTS) same(await client.call('text', value), value);
}

async function blob(client) {
    for (const value of [Buffer.from([...Array(256).keys()]), Buffer.from([])]) {
        const reply = await client.call('blob', value);
        same(Buffer.from(Buffer.isBuffer(reply) ? reply : reply.map(Number)), value);
    }
}

async function nested(client) {
    const value = [
        { name: '外', inner: { number: -7n, labels: ['', '二'] } },
        { name: '', inner: { number: 0n, labels: [] } },
    ];
    same(await client.call('nest', value), value);
}

async function fault(client) {
    same(await faultOf(client.call('fail', MESSAGE)), client.constructor.notFound);
}

/** The code and the message of a call's error. */
async function faultOf(call) {
    const error = await call.then((reply) => new Error(`no fault: ${reply}`), (error) => error);
    if (!(error instanceof Fault)) throw error;
    return [error.code, error.text];
}

async function concurrent(client) {
    const calls = Array.from({ length: TOGETHER }, () => client.call('meet', NAME));
    same((await Promise.all(calls)).map(Number), Array(TOGETHER).fill(TOGETHER));
}

async function reuse(client) {
    const counted = await client.constructor.connect(COUNTED);
    for (let number = 0n; number < 100n; number++) same(await counted.call('add', number, 1n), number + 1n);
    await counted.close();
}

async function metadata(client) {
    for (const [name, value] of Object.entries(client.constructor.entries)) {
        const context = new Context({ metadata: { [name]: value } });
        const text = Buffer.isBuffer(value) ? value.toString('base64') : value;
        same(await client.callWith(context, 'metadata', name), text);
        same(await client.call('metadata', name), null);
    }
}

async function deadline(client) {
    const { tooLate, watches } = client.constructor;
    same(await late(client, new Context({ timeoutMs: DEADLINE_MS })), tooLate);
    // Either timer may be the first.
    if (watches) same((await late(client, new Context({ timeoutMs: DEADLINE_MS, isWatched: true })))[0], tooLate[0]);
}

/** The code and the message of a call that outlasts its deadline. */
async function late(client, context) {
    const name = `${NAME} deadline ${context.isWatched}`;
    const fault = await faultOf(client.callWith(context, 'linger', name));
    const [left, lasted] = await client.call('lingered', name);
    assert.ok(0 < left && left <= DEADLINE_MS && lasted < SOON_MS, `it lasted ${lasted} ms when ${left} ms were left`);
    return fault;
}

async function cancel(client) {
    const name = `${NAME} cancel`;
    const other = await client.constructor.connect(ADDRESS);
    await other.giveUp(async () => same(await client.call('lingering', name), 1n), 'linger', name);
    await client.call('lingered', name);
    await other.close(); // Not before: its end might end the call.
}

async function trace(client) {
    const context = new Context({ trace: { traceparent: TRACEPARENT, tracestate: TRACESTATE } });
    same(await client.callWith(context, 'trace'), `${TRACEPARENT} ${TRACESTATE}`);
}

const CASES = {
    add,
    i64: signed,
    u64: unsigned,
    optional,
    text,
    bytes: blob,
    nested,
    fault,
    concurrent,
    reuse,
    metadata,
    deadline,
    cancel,
    trace,
};

function same(got, expected) {
    assert.deepStrictEqual(got, expected);
}

async function outcome(run, client) {
    try {
        await run(client);
        return null;
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}

/** A value with each leaf of its lists and objects replaced. */
export function deep(value, replaced) {
    if (Array.isArray(value)) return value.map((item) => deep(item, replaced));
    if (!isPlain(value)) return replaced(value);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, deep(item, replaced)]));
}

/** Whether it is an object that is no more than its members. */
function isPlain(value) {
    return value instanceof Object ? value.constructor === Object : value !== null && typeof value === 'object';
}

/** A value with its numbers as the cases have them. */
export function integers(value) {
    return deep(value, (leaf) => (typeof leaf === 'number' ? BigInt(leaf) : leaf));
}

/** Runs an adapter's class through all cases. */
export async function run(kind) {
    const { version } = JSON.parse(readFileSync(new URL(`${kind.library}/package.json`, MODULES)));
    const client = await kind.connect(ADDRESS);
    const { library, cannot = {}, notes = {} } = kind;
    console.log(JSON.stringify({ name: `Node, ${library} ${version}`, cannot, notes }));
    for (const [name, run] of Object.entries(CASES)) console.log(JSON.stringify([name, await outcome(run, client)]));
    await client.close();
}
