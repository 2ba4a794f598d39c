"""The jitter buffer of all legs at once: a ring of 20 ms frames per row, adaptive playout delay (mission B32).

Positions count 8 kHz samples on a time line of the row's own: RTP timestamps laid end to end without wrap. A frame is
160 positions (20 ms), a unit 40 (5 ms), so packets of any multiple of 5 ms fit. Bytes of G.711 and G.722 lie in the
ring; for packet codecs (Opus) only the units' presence is kept here and the packets elsewhere.

The delay follows what arrives. Every packet has a *margin*: how long before its frame is due it came. A row whose
newest packet comes too late has run dry, and its time line is held back by just what was missing. A row whose smallest
margin over some seconds left a whole frame to spare gives one frame back, in a pause.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .datagrams import FRAME_BYTES, RTP_HEADER, Inbox
from .table import Columns

FRAMES = 32
"""Ring length in frames; a power of two."""
BEHIND = 8
"""Frames kept after their time, so that a held back time line finds them."""
AHEAD = FRAMES - BEHIND - 2
UNIT = 40
UNITS = FRAME_BYTES // UNIT
FULL = np.uint32(0x01010101)
FRAME_NS = 20_000_000
SAMPLE_NS = 125_000
WINDOW_TICKS = 128
MAX_WAIT_WINDOWS = 16
LEAST_MARGIN_MS = 6
"""No row gives back so much delay that less than this remains for the next packet."""
NO_MARGIN = np.int64(1) << 60
MISORDER = 100
"""RFC 3550 appendix A.1: a sequence number further back than this is a restarted sender, not a late packet."""
DROPOUT = 3000
"""Nor is one further ahead than this the same stream after a loss (same place)."""
RESTART_NS = 100_000_000
"""A sender begins anew only after its old stream has ceased for so long, which is longer than any packet: who sends a
part of it again is not heard."""
_FIRST_FRAME = 1 << 20

_NEVER = -(1 << 20)
"""How far ahead a packet is whose sequence number is not believed."""

Int = NDArray[np.int64]
Bool = NDArray[np.bool_]


class Playout(Columns):
    """Jitter buffers; every method works on an array of distinct rows.

    The playout delay stays between ``min_delay_ms`` and ``max_delay_ms``, as far as what arrives allows.
    """

    def __init__(self, capacity: int, min_delay_ms: int = 0, max_delay_ms: int = 400) -> None:
        super().__init__(capacity)
        self._spare_ns = FRAME_NS + max(min_delay_ms, LEAST_MARGIN_MS) * 1_000_000
        self._first_delay = max(-(-min_delay_ms * 1_000_000 // FRAME_NS), 1)
        self.max_delay_ns = max_delay_ms * 1_000_000
        self.started: Bool = self.column(bool)
        self.next: Int = self.column(np.int64, fill=_FIRST_FRAME)
        """Frame that the coming tick plays."""
        self.ring: NDArray[np.uint8] = self.column(np.uint8, FRAMES, FRAME_BYTES)
        self.have: NDArray[np.uint8] = self.column(np.uint8, FRAMES, UNITS)
        self.seq: Int = self.column(np.int64)
        """Highest sequence number, extended beyond 16 bits."""
        self.first_seq: Int = self.column(np.int64)
        self.timestamp: Int = self.column(np.int64)
        self.position: Int = self.column(np.int64)
        self.step: Int = self.column(np.int64, fill=1)
        """RTP timestamp units per position: 1 for an 8 kHz clock, 6 for 48 kHz."""
        self.arrival: Int = self.column(np.int64)
        self.jitter_ns: NDArray[np.float64] = self.column(np.float64)
        self.received: Int = self.column(np.int64)
        self.late: Int = self.column(np.int64)
        self.duplicate: Int = self.column(np.int64)
        self.missing: Int = self.column(np.int64)
        """Frames missed in a row, up to now."""
        self.resumed: Int = self.column(np.int64)
        """First whole frame after the newest pause that was meant: timestamps went on, sequence numbers did not."""
        self.margin: Int = self.column(np.int64, fill=NO_MARGIN)
        self.margin_before: Int = self.column(np.int64, fill=NO_MARGIN)
        self.wait: Int = self.column(np.int64, fill=2)
        """Windows to pass before a frame may be given back."""
        self.patience: Int = self.column(np.int64, fill=2)
        self.spare: Bool = self.column(bool)
        """The row has a frame of delay to give back."""
        self.pressing: Bool = self.column(bool)
        """It found no pause to do so for a whole window."""
        self._bad_seq: Int = self.column(np.int64, fill=-1)
        self._frames = self.ring.view(f"V{FRAME_BYTES}").reshape(-1)
        self._full = self.have.view(np.uint32).reshape(-1)
        self._have_units = self.have.reshape(-1)
        self._ring_units = self.ring.view(f"V{UNIT}").reshape(-1)
        self._base = np.arange(capacity, dtype=np.int64) * FRAMES
        self._out = np.zeros(capacity, f"V{FRAME_BYTES}")
        self._at = np.zeros(capacity, np.int64)

    def restart(self, row: int) -> None:
        """Forget the stream (new SSRC, new media): the next packet starts the row anew. Counters go on."""
        self.started[row] = False

    def insert(self, rows: Int, seq: Int, timestamp: Int, samples: Int, arrival: Int, now: int) -> tuple[Bool, Int]:
        """Place one packet per row on its time line.

        ``seq`` and ``timestamp`` as in the RTP header, ``samples`` its duration in positions, ``arrival`` and ``now``
        in ns. Returns which packets are wanted and the position of each.
        """
        fresh = ~self.started[rows]
        if fresh.any():
            self._start(rows[fresh], seq[fresh], timestamp[fresh], arrival[fresh], now)
        ahead = _ahead(seq, self.seq[rows])
        strange = (ahead < -MISORDER) | (ahead > DROPOUT)
        if strange.any():
            self._restart(rows, seq, timestamp, arrival, now, np.flatnonzero(strange))
            ahead = _ahead(seq, self.seq[rows])
            ahead[(ahead < -MISORDER) | (ahead > DROPOUT)] = _NEVER
        elapsed = (((timestamp - self.timestamp[rows] + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000) // self.step[rows]
        position = self.position[rows] + elapsed
        position -= position % UNIT
        newer = ahead > 0
        due = self.next[rows]
        slack = position // FRAME_BYTES - due
        odd = newer & ((slack < 0) | (slack > AHEAD))
        if odd.any():
            self._realign(rows, odd, slack, position, now - arrival)
            due = self.next[rows]
            slack = position // FRAME_BYTES - due
        self.received[rows] += 1
        end = (position + samples - 1) // FRAME_BYTES - due
        wanted = (end >= 0) & (slack <= AHEAD)
        if not newer.all():
            again = ~newer & (slack > -BEHIND) & (self._have_units[self._unit_index(rows, position)] != 0)
            again |= ahead == 0
            self.duplicate[rows] += again
            wanted &= ~again & (ahead != _NEVER)
            self.late[rows] += ~wanted & ~again
            rows, ahead, timestamp, arrival, samples, elapsed, slack = (
                column[newer] for column in (rows, ahead, timestamp, arrival, samples, elapsed, slack)
            )
        self._advance(rows, ahead, timestamp, position[newer], elapsed > samples)
        self._note_arrival(rows, elapsed, slack, arrival, now)
        return wanted, position

    def note_others(self, rows: Int, seq: Int) -> None:
        """Packets of the rows' streams that hold no voice (keypad events, comfort noise): they are not lost."""
        begun = self.started[rows]
        rows, seq = rows[begun], seq[begun]
        ahead = _ahead(seq, self.seq[rows])
        ahead[ahead > DROPOUT] = 0
        np.add.at(self.received, rows, 1)
        np.maximum.at(self.seq, rows, self.seq[rows] + ahead)

    def write(self, rows: Int, position: Int, samples: Int, inbox: Inbox, packets: Int) -> None:
        """Store the wanted ``packets`` of the inbox, one for each of ``rows``, of a byte codec."""
        whole = (samples == FRAME_BYTES) & (position % FRAME_BYTES == 0)
        if not whole.all():
            parts = np.flatnonzero(~whole)
            self._write_units(rows[parts], position[parts], samples[parts], inbox.head, packets[parts])
            rows, position, packets = rows[whole], position[whole], packets[whole]
        at = self._base[rows] + ((position // FRAME_BYTES) & (FRAMES - 1))
        self._frames[at] = inbox.rtp["payload"][packets]
        self._full[at] = FULL

    def mark(self, rows: Int, position: Int, samples: Int) -> None:
        """Note wanted packets of a packet codec as present."""
        for unit in range(int(samples.max(initial=0)) // UNIT):
            sel = samples >= (unit + 1) * UNIT
            where = position[sel] + unit * UNIT
            soon = where // FRAME_BYTES - self.next[rows[sel]]
            good = (soon >= 0) & (soon <= AHEAD)
            self._have_units[self._unit_index(rows[sel][good], where[good])] = 1

    def take(self, count: int) -> tuple[NDArray[np.uint8], Bool]:
        """The frame that rows 0..count-1 play now: payload uint8[count, 160] and whether it was there.

        The payload is overwritten by the next call; where there is no frame it is stale.
        """
        following = self.next[:count]
        at = self._at[:count]
        np.bitwise_and(following, FRAMES - 1, out=at)
        at += self._base[:count]
        payload = self._out[:count]
        self._frames.take(at, out=payload, mode="clip")
        there = self._full.take(at, mode="clip") == FULL
        there &= self.started[:count]
        np.subtract(following, BEHIND, out=at)
        at &= FRAMES - 1
        at += self._base[:count]
        self._full[at] = 0
        following += self.started[:count]
        missing = self.missing[:count]
        missing += 1
        missing[there] = 0
        return payload.view(np.uint8).reshape(count, FRAME_BYTES), there

    def played(self, rows: Int, back: int) -> NDArray[np.uint8]:
        """Payload of the frame played ``back`` ticks before the newest one: uint8[len(rows), 160]."""
        at = self._base[rows] + ((self.next[rows] - 1 - back) & (FRAMES - 1))
        return self._frames[at].view(np.uint8).reshape(len(rows), FRAME_BYTES)

    def replace(self, rows: Int, payload: NDArray[np.uint8]) -> None:
        """Put what was played instead of a missing frame into the ring, so that ``played`` tells what was heard."""
        at = self._base[rows] + ((self.next[rows] - 1) & (FRAMES - 1))
        self._frames[at] = np.ascontiguousarray(payload).view(f"V{FRAME_BYTES}")[:, 0]

    def peek(self, rows: Int) -> tuple[NDArray[np.uint8], Bool]:
        """Payload uint8[len(rows), 160] of the frame due next, and whether it is there already."""
        at = self._base[rows] + (self.next[rows] & (FRAMES - 1))
        return self._frames[at].view(np.uint8).reshape(len(rows), FRAME_BYTES), self._full[at] == FULL

    def skip(self, rows: Int) -> None:
        """Give one frame of delay back: the frame due next is left out."""
        self._pass_over(rows)
        self.spare[rows] = self.pressing[rows] = False
        for margin in (self.margin, self.margin_before):
            margin[rows] -= np.where(margin[rows] < NO_MARGIN, FRAME_NS, 0)

    def catch_up(self, count: int, frames: int) -> None:
        """So many ticks were left out: what was due in them is over."""
        rows = np.flatnonzero(self.started[:count])
        for _ in range(min(frames, FRAMES)):
            self._pass_over(rows)
        self.next[rows] += max(frames - FRAMES, 0)

    def _pass_over(self, rows: Int) -> None:
        self._full[self._base[rows] + ((self.next[rows] - BEHIND) & (FRAMES - 1))] = 0
        self.next[rows] += 1

    def close_window(self, count: int) -> None:
        """Every WINDOW_TICKS: judge which rows have delay to spare."""
        smallest = np.minimum(self.margin[:count], self.margin_before[:count])
        roomy = (smallest >= self._spare_ns) & (smallest < NO_MARGIN)
        wait = self.wait[:count]
        wait -= 1
        roomy &= wait <= 0
        self.pressing[:count] = roomy & self.spare[:count]
        self.spare[:count] = roomy
        self.margin_before[:count] = self.margin[:count]
        self.margin[:count] = NO_MARGIN

    def delay_ms(self, row: int) -> float:
        """Time the row's newest packets wait for their turn, as the smallest margin tells."""
        smallest = min(self.margin[row], self.margin_before[row])
        return 0.0 if smallest >= NO_MARGIN else float(smallest) / 1e6

    def _unit_index(self, rows: Int, position: Int) -> Int:
        return self._base[rows] * UNITS + ((position // UNIT) & (FRAMES * UNITS - 1))

    def _start(self, rows: Int, seq: Int, timestamp: Int, arrival: Int, now: int) -> None:
        """A stream begins; a packet that has waited for this tick is played as much later, that is not at all."""
        known = self.received[rows] > 0
        # a restarted stream goes on counting where the old one stopped, so that losses stay those of the leg
        base = np.where(known, self.seq[rows] - self.first_seq[rows] + 1, 0)
        self.seq[rows] = seq - 1 + (1 << 16)
        self.first_seq[rows] = seq + (1 << 16) - base
        self.timestamp[rows] = timestamp
        self.position[rows] = (self.next[rows] + self._first_delay - _waited(now - arrival)) * FRAME_BYTES
        self.have[rows] = 0
        self.arrival[rows] = arrival
        self.missing[rows] = 0
        self.margin[rows] = self.margin_before[rows] = NO_MARGIN
        self.started[rows] = True

    def _restart(self, rows: Int, seq: Int, timestamp: Int, arrival: Int, now: int, strange: Int) -> None:
        """Two successive packets far from the others are a sender that began anew (RFC 3550 appendix A.1)."""
        row = rows[strange]
        quiet = arrival[strange] - self.arrival[row] > RESTART_NS
        anew = strange[quiet & (seq[strange] == self._bad_seq[row])]
        self._start(rows[anew], seq[anew], timestamp[anew], arrival[anew], now)
        self._bad_seq[row] = (seq[strange] + 1) & 0xFFFF

    def _realign(self, rows: Int, odd: Bool, slack: Int, position: Int, age: Int) -> None:
        """The newest packet of a row came after its time, or lies beyond the ring: move the time line or the packet.

        ``age``: ns since each packet came. One that is late because this tick is, is let go.
        """
        which = np.flatnonzero(odd)
        which = which[(slack[which] > 0) | (slack[which] + _waited(age[which]) < 0)]
        row, short = rows[which], -slack[which] - _waited(age[which])
        margin = np.minimum(self.margin[row], self.margin_before[row])
        margin = np.where(margin < NO_MARGIN, np.maximum(margin, 0), 0)
        hold = (short > 0) & (short <= BEHIND) & (margin + short * FRAME_NS <= self.max_delay_ns)
        held = row[hold]
        self.next[held] -= short[hold]
        for kept in (self.margin, self.margin_before):
            kept[held] += np.where(kept[held] < NO_MARGIN, short[hold] * FRAME_NS, 0)
        self.patience[held] = np.minimum(self.patience[held] * 2, MAX_WAIT_WINDOWS)
        self.wait[held] = self.patience[held]
        self.spare[held] = self.pressing[held] = False
        jumped = row[~hold]
        position[which[~hold]] = (self.next[jumped] + self._first_delay) * FRAME_BYTES
        self.have[jumped] = 0
        self.margin[jumped] = self.margin_before[jumped] = NO_MARGIN

    def _advance(self, rows: Int, ahead: Int, timestamp: Int, position: Int, gap: Bool) -> None:
        paused = np.flatnonzero(gap & (ahead == 1))
        if len(paused):
            self.resumed[rows[paused]] = -(-position[paused] // FRAME_BYTES)
        self.seq[rows] += ahead
        self.timestamp[rows] = timestamp
        self.position[rows] = position

    def _note_arrival(self, rows: Int, elapsed: Int, slack: Int, arrival: Int, now: int) -> None:
        """Interarrival jitter (RFC 3550 section 6.4.1) and the margin the packet came with."""
        difference = np.abs(arrival - self.arrival[rows] - elapsed * SAMPLE_NS)
        np.minimum(difference, 1_000_000_000, out=difference)  # a pause with stopped timestamps is not jitter
        self.jitter_ns[rows] += (difference - self.jitter_ns[rows]) / 16
        self.arrival[rows] = arrival
        self.margin[rows] = np.minimum(self.margin[rows], slack * FRAME_NS + (now - arrival))

    def _write_units(self, rows: Int, position: Int, samples: Int, head: NDArray[np.uint8], packets: Int) -> None:
        """Packets that are not one aligned frame: unit by unit, as many as the longest holds."""
        for unit in range(int(samples.max(initial=0)) // UNIT):
            sel = np.flatnonzero(samples >= (unit + 1) * UNIT)
            where = position[sel] + unit * UNIT
            soon = where // FRAME_BYTES - self.next[rows[sel]]
            good = (soon >= 0) & (soon <= AHEAD)
            sel, where = sel[good], where[good]
            at = self._unit_index(rows[sel], where)
            start = RTP_HEADER + unit * UNIT
            piece = np.ascontiguousarray(head[packets[sel], start : start + UNIT])
            self._ring_units[at] = piece.view(f"V{UNIT}")[:, 0]
            self._have_units[at] = 1


def _ahead(seq: Int, highest: Int) -> Int:
    """``seq - highest`` on the circle of 16-bit sequence numbers."""
    distance: Int = ((seq - highest + 0x8000) & 0xFFFF) - 0x8000
    return distance


def _waited(age: Int) -> Int:
    """Frames for which a packet lay in the kernel because no tick came, by its age in ns: one tick's wait is usual."""
    frames: Int = np.maximum(age - FRAME_NS, 0) // FRAME_NS
    return frames
