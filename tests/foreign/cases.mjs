// The cases of docs/interop.md for Node's clients, each of which is an adapter beside this file, `matrix_*.mjs`.
// See cases.py, which has the same cases. Integers are BigInt on this side of an adapter.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

export const [ADDRESS, COUNTED, NAME, FOLDER, QUEUE] = process.argv.slice(2);
export const MESSAGE = 'no such lock: 锁 <&> 100 %';
const TOGETHER = 4;
const TEXTS = ['', 'größer, Ω, 日本語, עברית', "😀 e\u0301 <&>'\"]]> \\ \n\t"];

const MODULES = new URL('../../target/node/node_modules/', import.meta.url);
export const need = createRequire(MODULES);

export const NO_BYTES = 'JSON has no bytes: they are a list of numbers.';

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
    const error = await client.call('fail', MESSAGE).then((reply) => new Error(`no fault: ${reply}`), (error) => error);
    if (!(error instanceof Fault)) throw error;
    same([error.code, error.text], client.notFound);
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

const CASES = { add, i64: signed, u64: unsigned, optional, text, bytes: blob, nested, fault, concurrent, reuse };

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
    client.notFound = kind.notFound ?? [5, MESSAGE];
    const { library, cannot = {}, notes = {} } = kind;
    console.log(JSON.stringify({ name: `Node, ${library} ${version}`, cannot, notes }));
    for (const [name, run] of Object.entries(CASES)) console.log(JSON.stringify([name, await outcome(run, client)]));
    await client.close();
}
