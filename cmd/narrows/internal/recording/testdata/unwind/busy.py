# Pure Python and the C behind it, until a byte comes on standard input.
import json
import os
import re
import sys

os.set_blocking(0, False)


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def work():
    text = json.dumps({str(i): [i, str(i) * 3] for i in range(500)})
    found = sum(len(m) for m in re.findall(r"(\d+)+", text[:2000]))
    return found + sum(sorted(json.loads(text)["7"][:1], key=lambda x: -x))


while True:
    fib(15)
    work()
    try:
        if os.read(0, 1):
            break
    except BlockingIOError:
        pass
print("{}")
sys.exit(0)
