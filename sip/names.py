"""Host names of destinations: resolved off the hot path, remembered for a while (A and AAAA only, no SRV)."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
from collections.abc import Callable

KEEP_SECONDS = 60.0
MAX_NAMES = 1000

Done = Callable[[str | None], None]


@functools.lru_cache(4096)
def is_address(host: str) -> bool:
    """Whether the host is a textual IP address (an IPv6 one may carry a zone)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Names:
    """Looks host names up, one query at a time for each. ``prefer6`` picks IPv6 where both are there."""

    def __init__(self, prefer6: bool) -> None:
        self._prefer6 = prefer6
        self._known: dict[str, tuple[str, float]] = {}
        self._asking: dict[str, list[Done]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def lookup(self, host: str, done: Done) -> None:
        """Call ``done`` with an address, or None when the name leads nowhere; at once when it is known."""
        loop = asyncio.get_running_loop()
        known = self._known.get(host)
        if known is not None and known[1] > loop.time():
            done(known[0])
            return
        if host in self._asking:
            self._asking[host].append(done)
            return
        self._asking[host] = [done]
        task = loop.create_task(self._ask(host))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def names_of(self, address: str) -> list[str]:
        """The names that lead to an address."""
        return [name for name, (known, _) in self._known.items() if known == address]

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _ask(self, host: str) -> None:
        loop = asyncio.get_running_loop()
        address: str | None = None
        try:
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            found = []
        if found:
            wanted = socket.AF_INET6 if self._prefer6 else socket.AF_INET
            address = str(next((entry for entry in found if entry[0] == wanted), found[0])[4][0])
            if len(self._known) >= MAX_NAMES:
                self._known.pop(next(iter(self._known)))
            self._known[host] = (address, loop.time() + KEEP_SECONDS)
        for done in self._asking.pop(host):
            done(address)
