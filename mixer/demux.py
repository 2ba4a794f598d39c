"""Whose packet is it: rows by (lane, source address), and the rule by which a source is recognised once.

A row's packets come from the address its session description named, or, behind a NAT, from elsewhere. The rule against
RTP injection (RTPBleed): a source that is not named may be taken only by a row that has heard nothing yet, only when
its host is one the signalling vouches for (``LegMedia.latch_hosts``), only one such row waits per lane at a time, and
only once. From then on nothing but that source is heard. A new SSRC needs two successive packets (RFC 3550 appendix
A.1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import address
from .datagrams import ADDRESS, Inbox
from .table import Columns

NO_SSRC = -1


class Demux(Columns):
    """Source addresses of all rows.

    On ``link_lane`` (bound to loopback) other mixers send, each for many conferences from one address: there a row is
    known by its SSRC instead.
    """

    def __init__(self, capacity: int, link_lane: int | None = None) -> None:
        super().__init__(capacity)
        self._link_lane = link_lane
        self.key: NDArray[np.uint64] = self.column(np.uint64)
        """0 while no source is known."""
        self.source: NDArray[np.uint8] = self.column(np.uint8, ADDRESS)
        self.latched: NDArray[np.bool_] = self.column(bool)
        self.ssrc: NDArray[np.int64] = self.column(np.int64, fill=NO_SSRC)
        self._next_ssrc: NDArray[np.int64] = self.column(np.int64, fill=NO_SSRC)
        self._next_seq: NDArray[np.int64] = self.column(np.int64, fill=-1)
        self._hosts: dict[int, tuple[str, ...]] = {}
        self._waiting: dict[int, list[int]] = {}
        self._sorted: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._order: NDArray[np.int64] = np.zeros(0, np.int64)

    def expect(
        self,
        row: int,
        lane: int,
        remote: tuple[str, int] | None,
        hosts: tuple[str, ...],
        ssrc: int | None = None,
    ) -> None:
        """Recognise ``row`` by ``remote``, else once by a source at one of ``hosts``. Raises ValueError."""
        self.forget(row)
        self.latched[row] = False
        self.ssrc[row] = NO_SSRC
        self.source[row] = 0
        self.key[row] = 0
        if remote is not None:
            self._set_source(row, lane, np.frombuffer(address.to_sockaddr(remote).ljust(ADDRESS, b"\0"), np.uint8))
        if ssrc is not None:
            self.key[row] = _link_key(np.array([ssrc]), lane)[0]
        known = tuple(address.canonical_host(host) for host in hosts)
        if known:
            self._hosts[row] = known
            self._waiting.setdefault(lane, []).append(row)

    def forget(self, row: int) -> None:
        """The row waits for an unknown source no more."""
        if self._hosts.pop(row, None) is not None:
            for lane, rows in list(self._waiting.items()):
                if row in rows:
                    rows.remove(row)
                    if not rows:
                        del self._waiting[lane]

    def reset(self, row: int) -> None:
        self.forget(row)
        super().reset(row)

    def move(self, src: int, dst: int) -> None:
        self.forget(dst)
        super().move(src, dst)
        if src in self._hosts:
            self._hosts[dst] = self._hosts.pop(src)
            for rows in self._waiting.values():
                rows[:] = [dst if row == src else row for row in rows]

    def plan(self, count: int) -> None:
        """Take the keys of rows 0..count-1 into the search order; to be called after any change."""
        known = np.flatnonzero(self.key[:count])
        order = known[np.argsort(self.key[known], kind="stable")]
        self._order = order
        self._sorted = self.key[order]

    def match(self, inbox: Inbox) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Row of each packet in the inbox, and whether there is one."""
        count = inbox.count
        if not len(self._sorted):
            return np.zeros(count, np.int64), np.zeros(count, np.bool_)
        key = address.keys(inbox.address[:count], inbox.lane[:count])
        if self._link_lane is not None:
            linked = np.flatnonzero(inbox.lane[:count] == self._link_lane)
            if len(linked):
                key[linked] = _link_key(inbox.rtp["ssrc"][linked], self._link_lane)
        at = self._sorted.searchsorted(key)
        at[at == len(self._sorted)] = 0
        return self._order[at], self._sorted[at] == key

    def waits(self, lanes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether some row on each of ``lanes`` still waits for an unknown source."""
        return np.isin(lanes, list(self._waiting)) if self._waiting else np.zeros(len(lanes), np.bool_)

    def claim(self, lane: int, raw: NDArray[np.uint8], payload_type: int, kinds: NDArray[np.uint8]) -> int | None:
        """A packet from an unknown source: the row it may be taken for, which is then its own for good.

        ``kinds``: uint8[capacity, 128], what a payload type means to each row.
        """
        source = address.from_sockaddr(raw)
        if source is None:
            return None
        for row in self._waiting.get(lane, ()):
            if source[0] in self._hosts[row]:
                if not kinds[row, payload_type]:
                    return None  # one at a time: the first that waits for this host decides
                self._set_source(row, lane, raw)
                self.confirm(row)
                return row
        return None

    def confirm(self, row: int) -> None:
        """The row's source has been heard: from now on it is the only one."""
        self.latched[row] = True
        self.forget(row)

    def new_ssrc(self, row: int, ssrc: int, seq: int) -> bool:
        """A packet with another SSRC came from the row's source; True once it is to be believed."""
        believed = bool(self._next_ssrc[row] == ssrc and self._next_seq[row] == seq)
        self._next_ssrc[row] = ssrc
        self._next_seq[row] = (seq + 1) & 0xFFFF
        if believed:
            self.ssrc[row] = ssrc
        return believed

    def host(self, row: int) -> str | None:
        """Host of the row's source, None while unknown."""
        source = address.from_sockaddr(self.source[row])
        return source[0] if source else None

    def _set_source(self, row: int, lane: int, raw: NDArray[np.uint8]) -> None:
        self.source[row] = raw
        self.key[row] = address.keys(self.source[row : row + 1], np.array([lane]))[0]


def _link_key(ssrc: NDArray[Any], lane: int) -> NDArray[np.uint64]:
    """Key of a link's packets; no address has port 65535 and yet this lane."""
    return (ssrc.astype(np.uint64) << np.uint64(32)) | np.uint64(0xFFFF << 16 | lane)
