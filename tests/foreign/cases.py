"""The cases of docs/interop.md for Python's clients, each of which is an adapter beside this file, `matrix_*.py`.

An adapter is run with ADDRESS COUNTED NAME FOLDER QUEUE: everywire's server (or the broker), the same behind a proxy
that counts connections, a name for the calls that meet, the folder of interop.proto, and the queue of requests.
It prints what it is, then for each case its name and its error, or null.
"""

import base64
import importlib.metadata
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

MESSAGE = "no such lock: 锁 <&> 100 %"
TOGETHER = 4
DEADLINE_MS = 300
SOON_MS = 5000
TOO_LATE = "linger did not finish by its caller's deadline"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACESTATE = "vendor=x"
PER_CLIENT = "Headers belong to a client object; a call with other headers needs its own."


@dataclass
class Context:
    """What travels with a call besides its arguments."""

    metadata: dict = field(default_factory=dict)
    timeout_ms: int | None = None
    is_watched: bool = False
    """Whether the library's own timer ends the call too."""
    trace: dict = field(default_factory=dict)

    def headers(self):
        """All of it as headers of HTTP."""
        deadline = {"grpc-timeout": f"{self.timeout_ms}m"} if self.timeout_ms else {}
        return {**self.metadata, **deadline, **self.trace}

    def timeout(self):
        """The deadline where its name is `timeout_ms`."""
        return {"timeout_ms": self.timeout_ms} if self.timeout_ms else {}


NOTHING = Context()


class Fault(Exception):
    """An error of the server, as the library shows it."""

    def __init__(self, code, message):
        super().__init__(f"fault {code}: {message}")
        self.code, self.message = code, message


class Client:
    """A client of one library."""

    library = None
    """The package of the library."""
    name = None
    """What it is, if it is no package."""
    not_found = (5, MESSAGE)
    """The code and the message of the fault."""
    too_late = (4, TOO_LATE)
    """Those of a call whose deadline has passed."""
    watches = False
    """Whether the library has a timer of its own for deadlines."""
    entries = {"tenant": "7 <&>"}
    """Metadata that is sent. The value of a name that ends in `-bin` is bytes, and base64 in the method."""
    cannot = {}
    """What has to fail: case: (a part of the error, the reason)."""
    notes = {}
    """What works in a way that has to be known: case: note."""

    def __init__(self, address):
        """Connects to HOST:PORT."""
        raise NotImplementedError

    def call(self, method, *arguments):
        """The reply, or a Fault."""
        return self.call_with(NOTHING, method, *arguments)

    def call_with(self, context, method, *arguments):
        """The same, with a context."""
        raise NotImplementedError

    def give_up(self, begun, method, *arguments):
        """Gives up a call, if possible after `begun`, which returns when the call is in its method."""
        raise NotImplementedError

    def together(self, calls):
        """The replies to calls at the same time: by default each has a thread and a client."""

        def one(call):
            client = type(self)(ADDRESS)
            try:
                return client.call(*call)
            finally:
                client.close()

        with ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(one, calls))

    def close(self):
        pass


class JsonRpc(Client):
    """A client that leaves the messages to its user."""

    notes = {"bytes": "JSON has no bytes: they are a list of numbers."}

    def exchange(self, request, context):
        """The text of the response to a text."""
        raise NotImplementedError

    def call_with(self, context, method, *arguments):
        return self.reply(self.exchange(self.request(method, *arguments), context))

    @staticmethod
    def request(method, *arguments, id=1):
        params = [list(argument) if isinstance(argument, bytes) else argument for argument in arguments]
        return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params})

    @staticmethod
    def reply(text):
        response = json.loads(text)
        if error := response.get("error"):
            raise Fault(error["code"], error["message"])
        return response["result"]


def same(got, expected):
    if got != expected or type(got) is not type(expected):
        raise ValueError(f"{expected!r} came back as {got!r}")


def add(client):
    same(client.call("add", 3, 4), 7)
    same(client.call("add", -5, 4), -1)


def signed(client):
    for value in (-(2**63), -(2**31) - 1, 0, 2**31, 2**53 + 1, 2**63 - 1):
        same(client.call("int", value), value)


def unsigned(client):
    for value in (2**63, 2**64 - 1):
        same(client.call("uint", value), value)


def optional(client):
    for value in (None, "", "x"):
        same(client.call("maybe", value), value)


def text(client):
    for value in ("", "größer, Ω, 日本語, עברית", "😀 e\u0301 <&>'\"]]> \\ \n\t"):
        same(client.call("text", value), value)


def blob(client):
    for value in (bytes(range(256)), b""):
        same(bytes(client.call("blob", value)), value)


def nested(client):
    value = [
        {"name": "外", "inner": {"number": -7, "labels": ["", "二"]}},
        {"name": "", "inner": {"number": 0, "labels": []}},
    ]
    same(client.call("nest", value), value)


def fault(client):
    try:
        raise ValueError(f"no fault: {client.call('fail', MESSAGE)}")
    except Fault as error:
        same((error.code, error.message), client.not_found)


def concurrent(client):
    same(client.together([("meet", NAME)] * TOGETHER), [TOGETHER] * TOGETHER)


def reuse(client):
    counted = type(client)(COUNTED)
    for number in range(100):
        same(counted.call("add", number, 1), number + 1)
    counted.close()


def metadata(client):
    for name, value in client.entries.items():
        text = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        same(client.call_with(Context({name: value}), "metadata", name), text)
        same(client.call("metadata", name), None)


def deadline(client):
    same(late(client, Context(timeout_ms=DEADLINE_MS)), client.too_late)
    if client.watches:
        # Either timer may be the first.
        code, _ = late(client, Context(timeout_ms=DEADLINE_MS, is_watched=True))
        same(code, client.too_late[0])


def late(client, context):
    """The code and the message of a call that outlasts its deadline."""
    name = f"{NAME} deadline {context.is_watched}"
    try:
        raise ValueError(f"no fault: {client.call_with(context, 'linger', name)}")
    except Fault as error:
        fault = (error.code, error.message)
    left, lasted = client.call("lingered", name)
    if not (0 < left <= DEADLINE_MS and lasted < SOON_MS):
        raise ValueError(f"it lasted {lasted} ms when {left} ms were left")
    return fault


def cancel(client):
    name = f"{NAME} cancel"
    other = type(client)(ADDRESS)
    other.give_up(lambda: same(client.call("lingering", name), 1), "linger", name)
    client.call("lingered", name)
    other.close()  # Not before: its end might end the call.


def trace(client):
    context = Context(trace={"traceparent": TRACEPARENT, "tracestate": TRACESTATE})
    same(client.call_with(context, "trace"), f"{TRACEPARENT} {TRACESTATE}")


CASES = {
    "add": add,
    "i64": signed,
    "u64": unsigned,
    "optional": optional,
    "text": text,
    "bytes": blob,
    "nested": nested,
    "fault": fault,
    "concurrent": concurrent,
    "reuse": reuse,
    "metadata": metadata,
    "deadline": deadline,
    "cancel": cancel,
    "trace": trace,
}


def outcome(case, client):
    try:
        CASES[case](client)
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def run(kind):
    """Runs an adapter's class through all cases."""
    name = kind.name or f"Python, {kind.library} {importlib.metadata.version(kind.library)}"
    print(json.dumps({"name": name, "cannot": kind.cannot, "notes": kind.notes}))
    client = kind(ADDRESS)
    for case in CASES:
        print(json.dumps([case, outcome(case, client)]), flush=True)
    client.close()


ADDRESS, COUNTED, NAME, FOLDER, QUEUE = sys.argv[1:]
