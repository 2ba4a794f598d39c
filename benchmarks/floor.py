"""The kernel's floor: a process that does nothing but receive and send a mixer's packets, once a tick.

Started with lanes as inherited sockets; reads where to send from standard input, one JSON line
``{"lanes": [fd, ...], "legs": [[lane, host, port], ...]}``. What it uses of the CPU is what recvmmsg and sendmmsg
take for those packets; any mixer pays at least that.
"""

from __future__ import annotations

import gc
import json
import socket
import sys
import time

import numpy as np

from benchmarks.phones import HEADER, SOCKADDR, TICK, Batch, receive, send

FRAME = 160
"""Bytes, and timestamp units, of 20 ms of G.711."""


def main() -> None:
    told = json.loads(sys.stdin.readline())
    lanes: list[int] = told["lanes"]
    legs: list[tuple[int, str, int]] = sorted(map(tuple, told["legs"]))
    out, inbox = Batch(len(legs)), Batch(2048)
    out.vector["len"] = HEADER + FRAME
    out.data[:, HEADER:] = 0xFF
    out.message["control"] = 0
    out.message["controllen"] = 0
    inbox.message["control"] = 0
    inbox.message["controllen"] = 0
    out.rtp["first"] = 0x80
    out.rtp["ssrc"] = 1 + np.arange(len(legs))
    out.address["family"] = socket.AF_INET
    out.address["host"] = [int.from_bytes(socket.inet_aton(host), "big") for _, host, _ in legs]
    out.address["port"] = [port for _, _, port in legs]
    edges = np.searchsorted([lane for lane, _, _ in legs], np.arange(len(lanes) + 1))
    batches = [(fd, out.message[edges[i] : edges[i + 1]]) for i, fd in enumerate(lanes)]
    gc.disable()
    print("ready", flush=True)
    due = time.monotonic()
    while True:
        for fd in lanes:
            while receive(fd, inbox) == len(inbox.message):
                pass
        out.rtp["seq"] += 1
        out.rtp["timestamp"] += FRAME
        for fd, messages in batches:
            send(fd, messages)
        due += TICK
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    assert SOCKADDR.itemsize == 16
    main()
