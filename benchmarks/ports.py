"""Ports that nobody uses on loopback now."""

from __future__ import annotations

import contextlib
import socket

WIDE_RANGE = "20000-29999"
"""For programs that take a port a call: below those the kernel gives out, and they pass over the ones in use."""


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """One free port."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_range(count: int) -> str:
    """So many neighbouring free UDP ports, as ``first-last``."""
    while True:
        first = free_port()
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
            return f"{first}-{first + count - 1}"
