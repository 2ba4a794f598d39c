"""From the lanes to the time lines: what was received is told apart, checked and put into the jitter buffer.

By the first byte (RFC 7983): RTP and RTCP are ours, STUN and DTLS belong to browsers. RTP of known sources goes through
in bulk; everything rare (unknown sources, new SSRCs, keypad events, RTCP) is handled one by one, a bounded number a
tick, so that a flood costs a bounded time. No packet whatever raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .datagrams import HEAD, RTP_HEADER, Inbox
from .demux import NO_SSRC, Demux
from .g711 import PCMA, PCMU, TRANSCODE
from .legs import OPUS, PT_AUDIO, PT_EVENT, PT_NOISE, PT_OTHER_LAW, PT_REJECT, Legs
from .playout import UNIT, Playout
from .stages import Stages

MAX_RARE = 128
"""Packets a tick that may be looked at one by one, of each kind."""
MAX_REPORT = HEAD
"""Bytes of an RTCP packet worth reading: what a phone reports is shorter."""
SSRC_QUIET_TICKS = 5
"""A new SSRC is believed once the old one has been silent for so long (100 ms: longer than any packet)."""
MAX_ROUNDS = 16
"""Packets of one row a tick: more than 320 ms at once is no phone."""
MAX_BATCHES = 4
"""Fillings of the inbox a tick; what is left waits in the kernel, or is dropped there."""
_RTCP_FIRST, _RTCP_LAST = 192, 223

Int = NDArray[np.int64]

# Samples at 8 kHz of one Opus frame by the TOC byte's configuration (RFC 6716 section 3.1, table 2).
_OPUS_FRAME = np.array(
    [80, 160, 320, 480] * 3 + [80, 160] * 2 + [20, 40, 80, 160] * 4,
    np.int64,
)


class RareHandler(Protocol):
    """Takes the packets that are looked at one by one; the engine."""

    def on_rtcp(self, row: int | None, lane: int, data: bytes, source: NDArray[np.uint8], stamp: int) -> None: ...

    def on_key(self, row: int, payload: bytes, timestamp: int, marker: bool) -> None: ...

    def on_packet(self, row: int, unit: int, payload: bytes) -> None:
        """A packet of a packet codec (Opus) whose first 5 ms unit is ``unit``."""

    def on_latched(self, row: int) -> None: ...


class Receiver:
    """One mixer's receiving side. ``handler`` hears of the rare packets."""

    def __init__(
        self, legs: Legs, demux: Demux, playout: Playout, handler: RareHandler, inbox: Inbox, stages: Stages
    ) -> None:
        self.inbox = inbox
        self._stages = stages
        self.received = 0
        self.unmatched = 0
        self._legs = legs
        self._demux = demux
        self._playout = playout
        self._handler = handler
        self._mark = np.zeros(legs.capacity, np.int64)
        self._left: dict[str, int] = {}
        """By kind: packets that may yet be looked at one by one in this tick."""

    def receive(self, fds: list[int], tick: int, now: int) -> None:
        """Take in all that waits on the lanes. ``now``: ns of CLOCK_REALTIME."""
        self._left = dict.fromkeys(("rtcp", "stranger", "ssrc", "key"), MAX_RARE)
        for _ in range(MAX_BATCHES):
            emptied = self.inbox.fill(fds)
            self._stages.lap("recv")
            if self.inbox.count:
                self._sort(tick, now)
            if emptied:
                break

    def _sort(self, tick: int, now: int) -> None:
        inbox, count = self.inbox, self.inbox.count
        self.received += count
        rows, known = self._demux.match(inbox)
        first, second = inbox.rtp["first"][:count], inbox.rtp["second"][:count]
        rtp = (first >> 6 == 2) & (inbox.size[:count] > RTP_HEADER)
        rtcp = (first >> 6 == 2) & (second >= _RTCP_FIRST) & (second <= _RTCP_LAST)
        stamps = inbox.stamps()
        stamps[(stamps == 0) | (stamps > now)] = now
        if rtcp.any():
            rtp &= ~rtcp
            self._rtcp(np.flatnonzero(rtcp & (inbox.size[:count] <= MAX_REPORT)), rows, known, stamps)
        voice = rtp & known
        if not voice.all():
            self._strangers(np.flatnonzero(rtp & ~known))
            at = np.flatnonzero(voice)
        else:
            at = np.arange(count)
        if len(at):
            self._voice(at, rows[at], stamps[at], tick, now)

    def _rtcp(self, at: Int, rows: Int, known: NDArray[np.bool_], stamps: Int) -> None:
        inbox = self.inbox
        if not known[at].all():  # RTCP may come from a port of its own
            at = at[known[at] | self._demux.knows_host(inbox.address[at])]
        for i in self._few("rtcp", at):
            row = int(rows[i]) if known[i] else None
            self._handler.on_rtcp(row, int(inbox.lane[i]), inbox.packet(int(i)), inbox.address[i], int(stamps[i]))

    def _few(self, kind: str, at: Int) -> Int:
        """The first of ``at``, as many as may yet be looked at one by one in this tick."""
        few = at[: self._left[kind]]
        self._left[kind] -= len(few)
        return few

    def _strangers(self, at: Int) -> None:
        """RTP from addresses nobody named: a phone behind a NAT, or somebody who does not belong here."""
        self.unmatched += len(at)
        if not len(at):
            return
        inbox = self.inbox
        for i in self._few("stranger", at[self._demux.waits(inbox.address[at])]):
            row = self._demux.claim(
                int(inbox.lane[i]), inbox.address[i], int(inbox.rtp["second"][i]) & 0x7F, self._legs.kinds
            )
            if row is not None:
                self._handler.on_latched(row)

    def _voice(self, at: Int, rows: Int, stamps: Int, tick: int, now: int) -> None:
        """RTP from known sources: check payload type and SSRC, then on to the time lines."""
        inbox, legs, demux = self.inbox, self._legs, self._demux
        kind = legs.kinds[rows, inbox.rtp["second"][at] & 0x7F]
        size = inbox.size[at].astype(np.int64) - RTP_HEADER
        kind[size > HEAD - RTP_HEADER] = PT_REJECT
        ssrc = inbox.rtp["ssrc"][at].astype(np.int64)
        foreign = (ssrc != demux.ssrc[rows]) & (kind != PT_REJECT)
        if foreign.any():
            self._check_ssrc(at, rows, kind, ssrc, np.flatnonzero(foreign), tick)
        plain = inbox.rtp["first"][at] == 0x80
        if not plain.all():
            self._strip(at, size, np.flatnonzero(~plain & (kind != PT_REJECT)))
            kind[size <= 0] = PT_REJECT
        good = kind != PT_REJECT
        if not good.all():
            np.add.at(legs.rejected, rows[~good], 1)
        legs.last_seen[rows[good]] = tick
        audio = kind == PT_AUDIO
        if not audio.all():
            self._other_kinds(at, rows, kind, size)
            audio |= kind == PT_OTHER_LAW
            others = good & ~audio
            voiceless = rows[others], inbox.rtp["seq"][at[others]].astype(np.int64)
            at, rows, size, stamps = at[audio], rows[audio], size[audio], stamps[audio]
        else:
            voiceless = None
        self._stages.lap("demux")
        for batch in self._rounds(rows):
            self._place(at[batch], rows[batch], size[batch], stamps[batch], now)
        if voiceless is not None:
            self._playout.note_others(*voiceless)
        self._stages.lap("playout")

    def _place(self, at: Int, rows: Int, size: Int, stamps: Int, now: int) -> None:
        """One audio packet for each of distinct rows."""
        rtp, playout = self.inbox.rtp, self._playout
        opus = self._legs.codec[rows] == OPUS
        any_opus = bool(opus.any())
        samples = size - size % UNIT
        if any_opus:
            samples[opus] = self._opus_samples(at[opus])
        wanted, position = playout.insert(
            rows, rtp["seq"][at].astype(np.int64), rtp["timestamp"][at].astype(np.int64), samples, stamps, now
        )
        wanted &= samples > 0
        if any_opus:
            mine = np.flatnonzero(opus & wanted)
            playout.mark(rows[mine], position[mine], samples[mine])
            for i in mine:
                payload = self.inbox.head[at[i], RTP_HEADER : RTP_HEADER + size[i]].tobytes()
                self._handler.on_packet(int(rows[i]), int(position[i]) // UNIT, payload)
            wanted &= ~opus
        if not wanted.all():
            at, rows, position, samples = at[wanted], rows[wanted], position[wanted], samples[wanted]
        if len(at):
            playout.write(rows, position, samples, self.inbox, at)

    def _rounds(self, rows: Int) -> Iterator[Int]:
        """Split into batches in which a row occurs once, each row's packets in the order they came.

        What a row has beyond MAX_ROUNDS is dropped, and counted as rejected.
        """
        left = np.arange(len(rows))
        for _ in range(MAX_ROUNDS):
            if not len(left):
                return
            mine = rows[left]
            self._mark[mine[::-1]] = left[::-1]
            first = self._mark[mine] == left
            if first.all():
                yield left
                return
            yield left[first]
            left = left[~first]
        np.add.at(self._legs.rejected, rows[left], 1)

    def _opus_samples(self, at: Int) -> Int:
        """Duration at 8 kHz of Opus packets, at least one unit (RFC 6716 section 3.1)."""
        head = self.inbox.head
        toc = head[at, RTP_HEADER].astype(np.int64)
        code = toc & 3
        frames = np.where(code == 0, 1, np.where(code == 3, head[at, RTP_HEADER + 1] & 0x3F, 2))
        samples: Int = np.minimum(_OPUS_FRAME[toc >> 3] * frames, 960)
        return samples - samples % UNIT

    def _check_ssrc(
        self, at: Int, rows: Int, kind: NDArray[np.uint8], ssrc: Int, which: Int, tick: int
    ) -> None:  # fmt: skip
        """First packets of a source, and packets whose SSRC changed: those not (yet) believed become PT_REJECT."""
        demux, seq = self._demux, self.inbox.rtp["seq"]
        fresh, first = np.unique(rows[which], return_index=True)
        for row, i in zip(fresh.tolist(), which[first], strict=True):
            if demux.ssrc[row] == NO_SSRC:
                demux.ssrc[row] = ssrc[i]
                if not demux.latched[row]:
                    demux.confirm(row)
                    self._handler.on_latched(row)
        changed = which[ssrc[which] != demux.ssrc[rows[which]]]
        believed: list[int] = []
        for i in self._few("ssrc", changed):
            row = int(rows[i])
            quiet = tick - int(self._legs.last_seen[row]) >= SSRC_QUIET_TICKS
            if demux.ssrc[row] == ssrc[i]:
                believed.append(i)
            elif demux.new_ssrc(row, int(ssrc[i]), int(seq[at[i]]), quiet):
                self._playout.restart(row)
                believed.append(i)
        kind[np.setdiff1d(changed, believed)] = PT_REJECT

    def _other_kinds(self, at: Int, rows: Int, kind: NDArray[np.uint8], size: Int) -> None:
        """Keypad events, comfort noise, and the other G.711 law (turned into the row's own)."""
        inbox = self.inbox
        for i in self._few("key", np.flatnonzero(kind == PT_EVENT)):
            packet = at[i]
            payload = inbox.head[packet, RTP_HEADER : RTP_HEADER + size[i]].tobytes()
            marker = bool(inbox.rtp["second"][packet] & 0x80)
            self._handler.on_key(int(rows[i]), payload, int(inbox.rtp["timestamp"][packet]), marker)
        quiet = rows[kind == PT_NOISE]
        self._playout.missing[quiet] = 1 << 20  # nothing to conceal: the pause is meant
        for law, table in ((PCMU, TRANSCODE[1]), (PCMA, TRANSCODE[0])):
            other = at[(kind == PT_OTHER_LAW) & (self._legs.codec[rows] == law)]
            if len(other):
                inbox.head[other, RTP_HEADER:] = table[inbox.head[other, RTP_HEADER:]]

    def _strip(self, at: Int, size: Int, which: Int) -> None:
        """Move payloads that follow CSRCs or a header extension to where plain ones are; take padding off.

        Works on ``size`` in place: 0 for a packet that contradicts itself (RFC 3550 section 5.1).
        """
        head = self.inbox.head
        for i in which:
            packet = at[i]
            first = int(head[packet, 0])
            length = min(int(size[i]), HEAD - RTP_HEADER)
            offset = 4 * (first & 0x0F)
            if first & 0x10:
                if offset + 4 > length:
                    size[i] = 0
                    continue
                words = int(head[packet, RTP_HEADER + offset + 2]) << 8 | int(head[packet, RTP_HEADER + offset + 3])
                offset += 4 + 4 * words
            end = length
            if first & 0x20:
                end -= int(head[packet, RTP_HEADER + length - 1]) or length
            if offset >= end:
                size[i] = 0
                continue
            body = head[packet, RTP_HEADER + offset : RTP_HEADER + end].copy()
            head[packet, RTP_HEADER : RTP_HEADER + len(body)] = body
            size[i] = len(body)
