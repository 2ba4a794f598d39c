"""Socket addresses as the kernel lays them out, and 64-bit keys to find them by in bulk (ip(7), ipv6(7))."""

from __future__ import annotations

import ipaddress
import struct
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_AF_INET = 2
_AF_INET6 = 10
# Odd multipliers spread an IPv6 address over 64 bits. Drawn per process, so that nobody outside can aim for a
# collision.
_SPREAD = np.random.default_rng().integers(1, 1 << 63, 4, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_REMEMBERED = 1 << 14
"""Addresses of legs are needed several times over when one is added."""

Address = tuple[str, int]


@lru_cache(maxsize=_REMEMBERED)
def canonical_host(host: str) -> str:
    """The one spelling of an address that the engine compares by. Raises ValueError for anything but an IP address."""
    ip = ipaddress.ip_address(host.split("%", 1)[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)


@lru_cache(maxsize=_REMEMBERED)
def to_sockaddr(address: Address) -> bytes:
    """``sockaddr_in`` (16 bytes) or ``sockaddr_in6`` (28 bytes). Raises ValueError for a bad host or port."""
    host, port = address
    if not 0 < port < 65536:
        raise ValueError(f"port {port}")
    ip = ipaddress.ip_address(canonical_host(host))
    if ip.version == 4:
        return struct.pack("=H", _AF_INET) + struct.pack("!H4s8x", port, ip.packed)
    return struct.pack("=H", _AF_INET6) + struct.pack("!HI16sI", port, 0, ip.packed, 0)


def from_sockaddr(raw: NDArray[np.uint8]) -> Address | None:
    """Host and port of a raw sockaddr; None for families other than IPv4 and IPv6."""
    data = raw.tobytes()
    (family,) = struct.unpack_from("=H", data)
    (port,) = struct.unpack_from("!H", data, 2)
    if family == _AF_INET:
        return str(ipaddress.IPv4Address(data[4:8])), port
    if family == _AF_INET6:
        return canonical_host(str(ipaddress.IPv6Address(data[8:24]))), port
    return None


def host_keys(raw: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A uint64 key per host, whatever the port. ``raw``: uint8[n, 32] sockaddrs."""
    hosts = raw.copy()
    hosts[:, 2:4] = 0
    return keys(hosts, np.zeros(len(raw), np.int64))


def keys(raw: NDArray[np.uint8], lanes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A uint64 key per (lane, address): exact for IPv4, a keyed 64-bit hash for IPv6.

    ``raw``: uint8[n, 32] sockaddrs, ``lanes``: int64[n] below 65,536.
    """
    words = raw.view(np.uint64)
    first = words[:, 0]
    key: NDArray[np.uint64] = (first & np.uint64(0xFFFF_FFFF_FFFF_0000)) | lanes.astype(np.uint64)
    six = np.flatnonzero((first & np.uint64(0xFFFF)) == _AF_INET6)
    if len(six):
        port = (first[six] >> np.uint64(16)) & np.uint64(0xFFFF)
        high = (words[six, 1] * _SPREAD[0]) ^ (words[six, 2] * _SPREAD[1])
        mixed = (high ^ (high >> np.uint64(29))) * _SPREAD[2] ^ (port * _SPREAD[3])
        key[six] = ((mixed ^ (mixed >> np.uint64(32))) * _MIX) ^ lanes[six].astype(np.uint64)
    return key
