"""Whose packet is it: rows by (lane, source address), and the rule by which a source is recognised once.

A row's packets come from the address its session description named, or, behind a NAT, from elsewhere. The rule against
RTP injection (RTPBleed): a source that is not named may be taken only by a row that has heard nothing yet, only when
its host is one the signalling vouches for (``LegMedia.latch_hosts``), and only once: of several such rows on a lane by
the one that named the source's port (many NATs keep it), else by the one that has waited longest. From then on nothing
but that source is heard. A new SSRC needs two successive packets (RFC 3550 appendix A.1) and the old one's silence:
who forges a phone's address is not heard while the phone is.

When two rows name the same source (a phone that restarted and called again), they are told apart by the SSRC: the
older row keeps its own, an unknown one is for the youngest row that has none yet.
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
        self._since: NDArray[np.int64] = self.column(np.int64)
        """Rows whose media was set later have more."""
        self._count = 0
        self._lane_of: dict[int, int] = {}
        """Lane of every row that waits for an unknown source."""
        self._waiting: dict[int, dict[int, frozenset[str]]] = {}
        """By lane and row: the hosts waited for."""
        self._waiting_keys: NDArray[np.uint64] | None = None
        """Their keys; None when they have changed."""
        self._twins: list[list[int]] = []
        """Rows of one source, oldest first."""
        self._known_hosts: NDArray[np.uint64] = np.zeros(0, np.uint64)
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
        self._count += 1
        self._since[row] = self._count
        if hosts:
            self._wait(row, lane, frozenset(map(address.canonical_host, hosts)))

    def forget(self, row: int) -> None:
        """The row waits for an unknown source no more."""
        lane = self._lane_of.pop(row, None)
        if lane is not None:
            del self._waiting[lane][row]
            self._waiting_keys = None

    def _wait(self, row: int, lane: int, hosts: frozenset[str]) -> None:
        self._lane_of[row] = lane
        self._waiting.setdefault(lane, {})[row] = hosts
        self._waiting_keys = None

    def reset(self, row: int) -> None:
        self.forget(row)
        super().reset(row)

    def move(self, src: int, dst: int) -> None:
        self.forget(dst)
        super().move(src, dst)
        lane = self._lane_of.get(src)
        if lane is not None:
            hosts = self._waiting[lane][src]
            self.forget(src)
            self._wait(dst, lane, hosts)

    def plan(self, count: int) -> None:
        """Take the keys of rows 0..count-1 into the search order; to be called after any change."""
        known = np.flatnonzero(self.key[:count])
        order = known[np.lexsort((self._since[known], self.key[known]))]
        self._order = order
        self._sorted = self.key[order]
        self._known_hosts = np.unique(address.host_keys(self.source[known]))
        self._twins = []
        again = np.flatnonzero(self._sorted[1:] == self._sorted[:-1]) + 1
        for at in again.tolist():
            if self._twins and self._twins[-1][-1] == order[at - 1]:
                self._twins[-1].append(int(order[at]))
            else:
                self._twins.append([int(order[at - 1]), int(order[at])])

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
        rows, known = self._order[at], self._sorted[at] == key
        for twins in self._twins:
            self._tell_apart(twins, rows, np.flatnonzero(known & (rows == twins[0])), inbox)
        return rows, known

    def _tell_apart(self, twins: list[int], rows: NDArray[np.int64], at: NDArray[np.int64], inbox: Inbox) -> None:
        """Give packets ``at``, all taken for the oldest of ``twins``, to whom they belong by their SSRC."""
        ssrc = inbox.rtp["ssrc"][at]
        fresh = [row for row in twins if self.ssrc[row] == NO_SSRC]
        if fresh:
            rows[at[~np.isin(ssrc, self.ssrc[twins])]] = fresh[-1]
        for row in twins:
            rows[at[ssrc == self.ssrc[row]]] = row

    def waits(self, raw: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether some row still waits for a source at each host. ``raw``: uint8[n, 32] sockaddrs."""
        if self._waiting_keys is None:
            hosts = frozenset().union(*(hosts for rows in self._waiting.values() for hosts in rows.values()))
            known = np.frombuffer(b"".join(map(_any_port, hosts)), np.uint8).reshape(-1, ADDRESS)
            self._waiting_keys = address.host_keys(known)
        if not len(self._waiting_keys):
            return np.zeros(len(raw), np.bool_)
        return np.isin(address.host_keys(raw), self._waiting_keys)

    def knows_host(self, raw: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether some row's source is at each host, whatever the port. ``raw``: uint8[n, 32] sockaddrs."""
        return np.isin(address.host_keys(raw), self._known_hosts)

    def claim(self, lane: int, raw: NDArray[np.uint8], payload_type: int, kinds: NDArray[np.uint8]) -> int | None:
        """A packet from an unknown source: the row it may be taken for, which is then its own for good.

        ``kinds``: uint8[capacity, 128], what a payload type means to each row.
        """
        source = address.from_sockaddr(raw)
        if source is None:
            return None
        rows = [row for row, hosts in self._waiting.get(lane, {}).items() if source[0] in hosts]
        if not rows:
            return None
        named = [row for row in rows if (self.source[row, 2:4] == raw[2:4]).all()]
        row = min(named or rows, key=self._since.__getitem__)
        if not kinds[row, payload_type]:
            return None  # one at a time: the first that waits for this host decides
        self._set_source(row, lane, raw)
        self.confirm(row)
        return row

    def confirm(self, row: int) -> None:
        """The row's source has been heard: from now on it is the only one."""
        self.latched[row] = True
        self.forget(row)

    def new_ssrc(self, row: int, ssrc: int, seq: int, quiet: bool) -> bool:
        """A packet with another SSRC came from the row's source; True once it is to be believed.

        ``quiet``: nothing has been heard of the old SSRC lately.
        """
        believed = bool(quiet and self._next_ssrc[row] == ssrc and self._next_seq[row] == seq)
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


def _any_port(host: str) -> bytes:
    return address.to_sockaddr((host, 1)).ljust(ADDRESS, b"\0")


def _link_key(ssrc: NDArray[Any], lane: int) -> NDArray[np.uint64]:
    """Key of a link's packets; no address has port 65535 and yet this lane."""
    return (ssrc.astype(np.uint64) << np.uint64(32)) | np.uint64(0xFFFF << 16 | lane)
