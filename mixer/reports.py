"""RTCP of all legs: a report every five seconds each, spread over the ticks, and what the far sides report of us."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import address, rtcp
from .datagrams import ADDRESS, Outbox
from .demux import NO_SSRC, Demux
from .legs import Legs
from .playout import Playout
from .table import Columns

INTERVAL_TICKS = 250


class Reports(Columns):
    """Columns that reports are made from. ``cname``: canonical name of this server's sources (RFC 7022)."""

    def __init__(self, capacity: int, fds: list[int], cname: bytes) -> None:
        super().__init__(capacity)
        self._fds = fds
        self.due: NDArray[np.int64] = self.column(np.int64)
        self.destination: NDArray[np.uint8] = self.column(np.uint8, ADDRESS)
        self.destination_size: NDArray[np.int64] = self.column(np.int64)
        self.octets: NDArray[np.int64] = self.column(np.int64)
        self.round_trip_ms: NDArray[np.float64] = self.column(np.float64, fill=-1.0)
        self.remote_lost: NDArray[np.float64] = self.column(np.float64, fill=-1.0)
        self._sent_before: NDArray[np.int64] = self.column(np.int64)
        self._expected_before: NDArray[np.int64] = self.column(np.int64)
        self._received_before: NDArray[np.int64] = self.column(np.int64)
        self._last_sr: NDArray[np.int64] = self.column(np.int64)
        self._last_sr_arrival: NDArray[np.int64] = self.column(np.int64)
        self._cname = np.frombuffer(cname, np.uint8)
        self._rng = np.random.default_rng()
        self._buffer = np.zeros((capacity, (rtcp.report_size(len(cname)) + 3) // 4 * 4), np.uint8)

    def expect(self, row: int, tick: int, destination: tuple[str, int] | None) -> None:
        """Reports of ``row`` go to ``destination``; the first one soon. Raises ValueError for a bad address."""
        raw = b"" if destination is None else address.to_sockaddr(destination)
        self.destination[row] = np.frombuffer(raw.ljust(ADDRESS, b"\0"), np.uint8)
        self.destination_size[row] = len(raw)
        self.due[row] = tick + int(self._rng.integers(INTERVAL_TICKS // 4, INTERVAL_TICKS))

    def send_due(self, legs: Legs, playout: Playout, demux: Demux, outbox: Outbox, tick: int, now: int) -> None:
        """Send the reports whose turn it is. ``now``: ns of CLOCK_REALTIME."""
        rows = np.flatnonzero(self.due[: legs.count] <= tick)
        if not len(rows):
            return
        # the interval is varied by half so that reports do not fall in step (RFC 3550 section 6.2)
        self.due[rows] = tick + self._rng.integers(INTERVAL_TICKS // 2, INTERVAL_TICKS * 3 // 2, len(rows))
        rows = rows[self.destination_size[rows] > 0]
        if not len(rows):
            return
        lengths = self._build(rows, legs, playout, demux, now)
        for i, row in enumerate(rows):
            data = self._buffer[i, : lengths[i]].tobytes()
            fd = self._fds[int(legs.lane[row])]
            outbox.send_one(fd, data, self.destination[row], int(self.destination_size[row]))

    def on_report(self, row: int, packets: list[rtcp.Packet], our_ssrc: int, heard: int, now: int) -> bool:
        """Take in what the far side of ``row`` reports; True when ``heard``, the SSRC we know it by, said goodbye."""
        goodbye = False
        for packet in packets:
            if isinstance(packet, rtcp.Bye):
                goodbye |= heard in packet.ssrcs
                continue
            if isinstance(packet, rtcp.SenderReport):
                self._last_sr[row] = rtcp.middle(packet.ntp)
                self._last_sr_arrival[row] = now
            if isinstance(packet, rtcp.SenderReport | rtcp.ReceiverReport):
                for block in packet.reports:
                    if block.ssrc == our_ssrc:
                        self._take_block(row, block, now)
        return goodbye

    def _take_block(self, row: int, block: rtcp.ReportBlock, now: int) -> None:
        self.remote_lost[row] = block.fraction_lost
        trip = rtcp.round_trip(rtcp.middle(rtcp.ntp_time(now / 1e9)), block)
        if trip is not None:
            self.round_trip_ms[row] = trip * 1000

    def _build(
        self, rows: NDArray[np.int64], legs: Legs, playout: Playout, demux: Demux, now: int
    ) -> NDArray[np.int32]:
        expected = np.where(playout.received[rows] > 0, playout.seq[rows] - playout.first_seq[rows] + 1, 0)
        received = playout.received[rows]
        fraction = rtcp.fraction_lost(expected, received, self._expected_before[rows], self._received_before[rows])
        sr = self._last_sr[rows]
        delay = np.where(sr > 0, (now - self._last_sr_arrival[rows]) * 0x10000 // 1_000_000_000, 0)
        lengths = rtcp.build_reports(
            self._buffer,
            rtcp.ntp_time(now / 1e9),
            rtcp.Sent(
                ssrc=legs.ssrc[rows],
                timestamp=legs.timestamp[rows],
                packets=legs.sent[rows].astype(np.uint32),
                octets=self.octets[rows].astype(np.uint32),
            ),
            rtcp.Received(
                ssrc=np.maximum(demux.ssrc[rows], 0).astype(np.uint32),
                fraction_lost=fraction,
                cumulative_lost=rtcp.cumulative_lost(expected, received),
                highest_sequence=((playout.seq[rows] - (1 << 16)) & 0xFFFF_FFFF).astype(np.uint32),
                jitter=(playout.jitter_ns[rows] / (125_000 / playout.step[rows])).astype(np.uint32),
                last_sr=sr.astype(np.uint32),
                delay_since_last_sr=np.clip(delay, 0, 0xFFFF_FFFF).astype(np.uint32),
            ),
            sender=legs.sent[rows] > self._sent_before[rows],
            heard=(demux.ssrc[rows] != NO_SSRC) & (received > self._received_before[rows]),
            cname=self._cname,
        )
        self._sent_before[rows] = legs.sent[rows]
        self._expected_before[rows] = expected
        self._received_before[rows] = received
        return lengths
