"""A flash sale: 50 threads want one of 10 pieces, and a lock over XML-RPC lets one at a time see the stock.

python3 examples/python/seckill.py [http://127.0.0.1:4242]
"""

import sys
import time
from threading import Thread, get_ident
from xmlrpc.client import ServerProxy

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:4242"
stock, sold, tokens = 10, [], []


def seckill():
    global stock
    with ServerProxy(url) as server:  # one for each thread: its connection carries one call at a time
        lock = server.lock("seckill.py", 10_000, 60_000)
        assert lock["granted"], lock
        print(get_ident(), "got the lock")
        tokens.append(lock["token"])
        left = stock
        time.sleep(0.001)  # without the lock, others would now read the same stock
        if left > 0:
            stock = left - 1
            sold.append(get_ident())
        assert server.unlock("seckill.py", lock["owner"])


threads = [Thread(target=seckill) for _ in range(50)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(sold), "of 50 have bought, and", stock, "pieces are left")
assert len(sold) == 10 and stock == 0
assert len(tokens) == 50 and sorted(set(tokens)) == tokens, "fencing tokens grow from holder to holder"
