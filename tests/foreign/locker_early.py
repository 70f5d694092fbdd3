"""zmqlocker's client, started before its server: it waits, and then goes on as if nothing was.

Usage: locker_early.py PORT (where a locker that gives 5 permits is yet to come)
"""

import sys

from zmqlocker import LockerClient


locker_cli = LockerClient(f"tcp://localhost:{sys.argv[1]}")
print("asks", flush=True)
for i in range(7):
    print(locker_cli.next().decode(), flush=True)
