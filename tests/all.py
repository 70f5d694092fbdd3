#!/usr/bin/env python3
"""Runs the tests of packages as `cargo test` does, but two programs at a time: most of them wait for engines and brokers.

    tests/all.py ARGUMENT…

The arguments choose packages and features, as those of `cargo test` do. Every test program of these packages runs, and the examples
in their documentation.
"""

import concurrent.futures
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

CARGO = os.environ.get("CARGO", "cargo")
AT_A_TIME = 2
# Far more than the longest takes on a busy machine.
MOST_SECONDS = 1200
# They take longest, so they start first. The order changes nothing else.
LONGEST = ["locks", "engines", "everywire", "backends", "abuse", "limiter"]
# It starts dozens of processes at the same time, which need the machine for themselves.
ALONE = "ids (services/id)"


def built(arguments):
    """Builds all tests and returns the programs: each with the package it belongs to."""
    words = [CARGO, "test", *arguments, "--no-run", "--message-format", "json-render-diagnostics"]
    build = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    messages = map(json.loads, build.stdout.splitlines())
    return [message for message in messages if message.get("executable") and message["profile"]["test"]]


@functools.cache
def libraries():
    """Where the libraries of the toolchain are."""
    return subprocess.check_output(["rustc", "--print", "target-libdir"], text=True).strip()


@functools.cache
def environment(package):
    """What Cargo tells the tests of a package."""
    return os.environ | {
        "CARGO": CARGO,
        "CARGO_MANIFEST_DIR": str(package),
        "CARGO_PKG_NAME": json.loads(subprocess.check_output([CARGO, "read-manifest"], cwd=package))["name"],
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [libraries(), os.environ.get("LD_LIBRARY_PATH")])),
    }


def program(message):
    """The words that run a test program, its folder and what it is called here."""
    package = pathlib.Path(message["manifest_path"]).parent
    name = f"{message['target']['name']} ({package.relative_to(pathlib.Path.cwd())})"
    return [message["executable"]], package, name


def run(words, folder, name, env):
    """Runs one program to its end and prints what it says in one piece. Returns whether it succeeded."""
    begin = time.monotonic()
    # A file, because a server that a test leaves behind would keep a pipe open. A session, because such servers end with it.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(words, cwd=folder, env=env, stdout=output, stderr=output, start_new_session=True)
        try:
            end = f"exit code {process.wait(MOST_SECONDS)}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            end = "no end"
        output.seek(0)
        text = output.read().decode(errors="replace").strip()
    print(f"\n-- {name}: {end} after {time.monotonic() - begin:.0f} s\n{text}", flush=True)
    return end == "exit code 0"


def main(arguments):
    programs = [program(message) for message in built(arguments)] or sys.exit("error: there are no tests")
    programs.sort(key=lambda it: next((n for n, long in enumerate(LONGEST) if it[2].startswith(f"{long} ")), len(LONGEST)))
    jobs = [(words, folder, name, environment(folder)) for words, folder, name in programs]
    jobs.append(([CARGO, "test", *arguments, "--doc"], pathlib.Path.cwd(), "the examples in the documentation", os.environ))
    beside_others = [job for job in jobs if job[2] != ALONE]
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        succeeded = pool.map(lambda job: run(*job), beside_others)
        failed = [job[2] for job, success in zip(beside_others, succeeded) if not success]
    failed += [job[2] for job in jobs if job[2] == ALONE and not run(*job)]
    print(f"\n{len(jobs) - len(failed)} of {len(jobs)} test programs succeeded")
    if failed:
        sys.exit("error: these failed: " + ", ".join(failed))


main(sys.argv[1:])
