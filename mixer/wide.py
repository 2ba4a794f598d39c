"""Wideband: legs with G.722 (16 kHz) or Opus (48 kHz), and the conferences that mix at their rate.

Conferences whose legs all speak G.711 never come here. In the others every voice is brought up to the conference's
rate, summed there, and the sum brought down once for each lower rate that somebody hears. Bringing up and down is
linear, so a leg's own voice is taken out of what it hears by bringing down its own contribution too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .codecs import Decoder, make_decoder, make_encoder
from .comfort import ComfortNoise
from .datagrams import PACKET, RTP_HEADER, Outbox
from .legs import CODECS, G722, OPUS, RATES, Legs
from .limiter import soften
from .mix import Sums, sum_rooms
from .player import Batch
from .playout import UNITS, Playout
from .resample import Resampler
from .rooms import Rooms
from .sound import Sound

CONCEAL_FRAMES = 8
"""Decoders fade by themselves over so many lost frames; what is lost longer is silence."""
MAX_PACKETS = 128
"""Opus packets kept for one leg before the stale ones are thrown away."""
PEEK_TICKS = 20
"""A silent Opus leg is decoded so often all the same (400 ms): its packets' word for silence is not all there is."""
PRIMING = {G722: 8, OPUS: 1}
"""Frames with which an encoder is set right when those who hear it heard another before. Measured on tones: without it
the first frame is off by more than the signal with G.722 and clicks with Opus; with one frame Opus goes on without a
click, with 3 G.722 still overshoots by half, with 8 by a tenth (0.4 ms for each who begins to speak)."""
LINGER = 8
"""Ticks for which a leg keeps the stream of its own that it had need of: until the shared one sounds alike."""
_SILENT = -1
_DEAF = -2
"""In place of a conference: what everybody is sent whose conference is silent, and who is deaf."""
_CELT_ONLY = 16
_20_MS = frozenset((1, 5, 9, 13, 15, 19, 23, 27, 31))
_NAMES = {number: name for name, number in CODECS.items()}
_WIDE_RATES = (16000, 48000)

Float = NDArray[np.float32]
Int = NDArray[np.int64]


def samples_per_tick(rate: int) -> int:
    return rate // 50


def opus_voice(packet: bytes) -> bool:
    """Whether an Opus packet says that it holds voice, or does not say.

    The first bit of a SILK or hybrid frame is its voice activity flag, coded as likely as not and so in the clear
    (RFC 6716 sections 4.1.1 and 4.2.3). CELT has no such flag.
    """
    return len(packet) < 2 or packet[0] >> 3 >= _CELT_ONLY or bool(packet[1] & 0x80)


def opus_single_20ms(packet: bytes) -> bool:
    """One frame of 20 ms, mono or stereo (RFC 6716 section 3.1)."""
    return bool(packet) and packet[0] & 3 == 0 and packet[0] >> 3 in _20_MS


class Stream:
    """What one leg, or several alike, are sent. They hear several streams in turn, and a decoder goes on from the state
    the last one left it in: an encoder that was not heard in the tick before goes through what was, first."""

    def __init__(self, codec: int) -> None:
        self._encoder = make_encoder(_NAMES[codec])
        self._priming = PRIMING[codec]
        self._next = 0

    def encode(self, pcm: Float, tick: int, before: Callable[[int], Float]) -> bytes:
        """``before``: what was heard so many ticks ago."""
        if tick != self._next:
            for back in range(self._priming, 0, -1):
                self._encoder.encode(before(back))
        self._next = tick + 1
        return self._encoder.encode(pcm)


class WideLeg:
    """Codec state of one wideband leg."""

    def __init__(self, codec: int) -> None:
        self.codec = codec
        self.frame = samples_per_tick(int(RATES[codec]))
        self.pcm: Float = np.zeros(self.frame, np.float32)
        self._decoder: Decoder = make_decoder(_NAMES[codec])
        self._sounding = False
        self._stream: Stream | None = None
        self._packets: dict[int, bytes] = {}
        self._rest: Float = np.zeros(0, np.float32)
        self._skipped = b""
        """The newest packet that was not decoded, when the one before the next was not."""
        self._unheard = 0
        self._silent_size = 0.0
        """Bytes of a packet while the leg is silent, as seen of late."""

    def keep(self, unit: int, payload: bytes) -> None:
        """An Opus packet that begins at 5 ms unit ``unit`` of the leg's time line."""
        if len(self._packets) >= MAX_PACKETS:
            newest = max(self._packets)
            self._packets = {u: p for u, p in self._packets.items() if u > newest - MAX_PACKETS}
        self._packets[unit] = payload

    def decode_frame(self, payload: bytes | None) -> None:
        """G.722: the frame's bytes, or None for one that was lost."""
        self._fit(self._decoder.conceal() if payload is None else self._decoder.decode(payload))

    def decode_packets(self, frame: int, there: bool, audible: bool) -> bool:
        """Opus: whatever packets begin in ``frame``; one packet may last for several.

        False when nothing was decoded because the leg, not ``audible`` before, goes on being silent by its packets.
        """
        first = frame * UNITS
        packets = [p for unit in range(first, first + UNITS) if (p := self._packets.pop(unit, None)) is not None]
        if not audible and there and not len(self._rest) and self._stays_silent(packets):
            return False
        if self._skipped:  # the decoder has missed the packets before: one of them sets it right again
            self._decoder.decode(self._skipped)
            self._skipped = b""
        for packet in packets:
            self._rest = np.concatenate((self._rest, self._decoder.decode(packet)))
        if not audible and packets:
            self._silent_size += (max(map(len, packets)) - self._silent_size) * 0.3
        if there and len(self._rest) >= self.frame:
            self.pcm, self._rest = self._rest[: self.frame], self._rest[self.frame :][: 6 * self.frame]
            self._sounding = True
        else:
            self._rest = self._rest[:0]
            self._fit(self._decoder.conceal())
        return True

    def _stays_silent(self, packets: list[bytes]) -> bool:
        """Whether packets need not be decoded: one of 20 ms without voice, no larger than silence has been."""
        if len(packets) != 1 or self._unheard >= PEEK_TICKS:
            self._unheard = 0
            return False
        packet = packets[0]
        if not opus_single_20ms(packet) or opus_voice(packet) or len(packet) > self._silent_size * 1.2 + 3:
            return False
        self._unheard += 1
        self._skipped = packet
        self.silence()
        return True

    def silence(self) -> None:
        """There is nothing to be heard in this tick."""
        if self._sounding:
            self.pcm = np.zeros(self.frame, np.float32)
            self._rest = self._rest[:0]
            self._sounding = False

    @property
    def stream(self) -> Stream:
        """What it alone is sent; made when first needed."""
        if self._stream is None:
            self._stream = Stream(self.codec)
        return self._stream

    def _fit(self, pcm: Float) -> None:
        self._sounding = True
        if len(pcm) == self.frame:
            self.pcm = pcm
        else:
            self.pcm = np.zeros(self.frame, np.float32)
            self.pcm[: len(pcm)] = pcm[: self.frame]


class Resamplers:
    """One Resampler per pair of rates, made when first needed, all with the same slots."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._made: dict[tuple[int, int], Resampler] = {}

    def process(self, rate_in: int, rate_out: int, slots: Int, frames: Float) -> Float:
        """Frames of ``slots`` at another rate."""
        if rate_in == rate_out or not len(slots):
            return frames if rate_in == rate_out else np.zeros((0, samples_per_tick(rate_out)), np.float32)
        pair = (rate_in, rate_out)
        if pair not in self._made:
            self._made[pair] = Resampler(rate_in, rate_out, self._capacity)
        return self._made[pair].process(slots, frames)

    def reset(self, slot: int) -> None:
        for resampler in self._made.values():
            resampler.reset(slot)

    def move(self, src: int, dst: int) -> None:
        for resampler in self._made.values():
            resampler.move(src, dst)


class WideMix:
    """The wideband side of the engine. ``active``: there is a wideband leg at all. ``comfort``: what is heard while
    nobody speaks; None for silence."""

    def __init__(self, capacity: int, comfort: ComfortNoise | None = None) -> None:
        self.active = False
        self._comfort = comfort
        self._capacity = capacity
        self._legs: dict[int, WideLeg] = {}
        self._up = Resamplers(capacity)
        self._down = Resamplers(capacity)
        self._down_rooms = Resamplers(capacity)
        self._shared: dict[tuple[int, int], Stream] = {}
        """By conference and codec: what those who only listen are sent."""
        self._payloads: dict[tuple[int, int], bytes] = {}
        """The same, in this tick."""
        self._own_until: Int = np.zeros(capacity, np.int64)
        """Tick up to which a row has a stream of its own."""
        self._listeners: dict[tuple[int, int], Int] = {}
        self._rates_needed: dict[int, list[int]] = {}
        self._wide_heard: set[int] = set()
        """Rows that were in a wideband mix in the tick before."""
        self._wide_rooms: set[int] = set()
        """Conferences that had one."""
        self._totals: dict[int, Sums] = {}
        """By listening rate: what was summed this tick, as that rate hears it."""
        self._past: deque[dict[int, Sums]] = deque(maxlen=max(PRIMING.values()))
        """The same in the ticks before, newest last."""

    # --- legs come and go --------------------------------------------------------------------------------------------

    def set_codec(self, row: int, codec: int) -> None:
        """The row speaks ``codec`` from now on."""
        known = self._legs.get(row)
        if codec < G722:
            self._legs.pop(row, None)
        elif known is None or known.codec != codec:
            self._legs[row] = WideLeg(codec)

    def forget_room(self, room: int) -> None:
        """The conference is over."""
        self._down_rooms.reset(room)
        for codec in (G722, OPUS):
            self._shared.pop((room, codec), None)

    def reset(self, row: int) -> None:
        self._legs.pop(row, None)
        self._own_until[row] = 0
        self._wide_heard.discard(row)
        self._up.reset(row)
        self._down.reset(row)

    def move(self, src: int, dst: int) -> None:
        self._legs.pop(dst, None)
        if src in self._legs:
            self._legs[dst] = self._legs.pop(src)
        self._own_until[dst] = self._own_until[src]
        self._wide_heard.discard(dst)
        if src in self._wide_heard:
            self._wide_heard.remove(src)
            self._wide_heard.add(dst)
        self._up.move(src, dst)
        self._down.move(src, dst)

    def plan(self, legs: Legs, rooms: Rooms) -> None:
        """Legs came, went or were set: who hears what."""
        self.active = bool(self._legs)
        if not self.active:
            self._wide_heard.clear()
            self._wide_rooms.clear()
            self._past.clear()
        count = legs.count
        codec, room = legs.codec[:count], legs.room[:count]
        rows = np.flatnonzero((codec >= G722) & legs.sends[:count])
        rows = rows[np.lexsort((codec[rows], room[rows]))]
        kind = room[rows] * len(CODECS) + codec[rows]
        groups = np.split(rows, np.flatnonzero(np.diff(kind)) + 1) if len(rows) else []
        self._listeners = {(int(room[group[0]]), int(codec[group[0]])): group for group in groups}
        mixed_at = rooms.rate[room]
        self._rates_needed = {rate: np.unique(RATES[codec[mixed_at == rate]]).tolist() for rate in _WIDE_RATES}

    # --- the tick ----------------------------------------------------------------------------------------------------

    def keep(self, row: int, unit: int, payload: bytes) -> None:
        """An Opus packet came in."""
        leg = self._legs.get(row)
        if leg is not None:
            leg.keep(unit, payload)

    def decode(
        self,
        playout: Playout,
        payload: NDArray[np.uint8],
        there: NDArray[np.bool_],
        audible: NDArray[np.bool_],
        energy: Float,
    ) -> None:
        """The current frame of every wideband leg that is not silent beyond doubt, and its energy.

        ``there`` is cleared where nothing was decoded: such a frame teaches nothing about the row's noise.
        """
        over = (playout.missing[: len(there)] > CONCEAL_FRAMES).tolist()
        for row, leg in self._legs.items():
            if over[row]:
                leg.silence()
                continue
            if leg.codec == OPUS:
                frame = int(playout.next[row]) - 1
                if not leg.decode_packets(frame, bool(there[row]), bool(audible[row])):
                    energy[row] = 0
                    there[row] = False
                    continue
            else:
                leg.decode_frame(payload[row].tobytes() if there[row] else None)
            energy[row] = np.dot(leg.pcm, leg.pcm) / leg.frame

    def sum(
        self,
        legs: Legs,
        rooms: Rooms,
        sound: Sound,
        heard: Int,
        narrow: Float,
        played: dict[int, Batch],
        tick: int,
    ) -> Sums:
        """Add up all conferences. ``narrow``: float32[len(heard), 160], valid for G.711 rows and treated already.

        ``played``: by rate, what whole conferences are played besides.

        Returns what G.711 legs hear; the rest is kept for encode().
        """
        rate_of_room = rooms.rate[legs.room[heard]]
        self._note_heard(legs, heard[rate_of_room > RATES[0]])
        plain = rate_of_room == RATES[0]
        sums = sum_rooms(
            self._capacity, heard[plain], legs.room[heard[plain]], narrow[plain], played.get(int(RATES[0]))
        )
        sound.limiter.apply(sums.rooms, sums.total, tick)
        sound.limiter.follow(legs.room[sums.rows], sums.voice)
        parts = [sums]
        self._totals = {}
        for rate in _WIDE_RATES:
            here = np.flatnonzero(rate_of_room == rate)
            if len(here) or rate in played:
                for hears, sums in self._sum_at(
                    rate, legs, sound, heard[here], narrow[here], played.get(rate), tick
                ):
                    if hears == RATES[0]:
                        parts.append(sums)
                    else:
                        known = self._totals.get(hears)
                        self._totals[hears] = sums if known is None else _join([known, sums])
        return _join(parts)

    def encode(self, legs: Legs, outbox: Outbox, played: dict[int, Batch], tick: int) -> None:
        """Payloads of all wideband rows. ``played``: by rate, what single legs are played besides."""
        self._payloads.clear()
        for (room, codec), rows in self._listeners.items():
            rate = int(RATES[codec])
            sums = self._totals.get(rate)
            slot = int(sums.slot_of_room[room]) if sums is not None else -1
            batch = played.get(rate)
            if batch is not None:
                rows = self._encode_played(legs, outbox, rows, batch, sums, slot, tick)
            deaf = legs.deaf[rows]
            if deaf.any():
                _put(outbox, rows[deaf], self._payload(_DEAF, codec, self._quiet(_DEAF, rate, tick), tick))
                rows = rows[~deaf]
            if not len(rows):
                continue
            if sums is None or slot < 0:
                _put(outbox, rows, self._payload(_SILENT, codec, self._quiet(_SILENT, rate, tick), tick))
                continue
            heard = np.isin(rows, sums.rows)
            self._own_until[rows[heard | (legs.listen_gain[rows] != 1)]] = tick + LINGER
            alone = self._own_until[rows] >= tick
            for row, speaks in zip(rows[alone].tolist(), heard[alone].tolist(), strict=True):
                own = _own_mix(legs, sums, slot, row, speaks)
                soften(own[None])
                self._send_own(legs, outbox, row, own, tick)
            shared = rows[~alone]
            if len(shared):
                whole = sums.total[slot].copy()
                soften(whole[None])
                _put(outbox, shared, self._payload(room, codec, whole, tick))
        self._past.append(self._totals)

    def _encode_played(
        self, legs: Legs, outbox: Outbox, rows: Int, batch: Batch, sums: Sums | None, slot: int, tick: int
    ) -> Int:
        """Those of ``rows`` that are played something hear it over what they would have heard; returns the others."""
        at = np.searchsorted(batch.listeners, rows)
        at[at == len(batch.listeners)] = 0
        mine = batch.listeners[at] == rows
        for row, place in zip(rows[mine].tolist(), at[mine].tolist(), strict=True):
            own = np.zeros((1, batch.frames.shape[1]), np.float32)
            if sums is not None and slot >= 0:
                own[0] = _own_mix(legs, sums, slot, row, bool((sums.rows == row).any()))
            batch.duck(np.array([place]), own)
            own[0] += batch.frames[place]
            soften(own)
            self._send_own(legs, outbox, row, own[0], tick)
        others: Int = rows[~mine]
        return others

    def _send_own(self, legs: Legs, outbox: Outbox, row: int, pcm: Float, tick: int) -> None:
        leg, room = self._legs[row], int(legs.room[row])
        rate, gain = int(RATES[leg.codec]), legs.listen_gain[row]
        _put(outbox, [row], leg.stream.encode(pcm, tick, lambda back: self._before(room, rate, tick, back) * gain))

    def _payload(self, room: int, codec: int, pcm: Float, tick: int) -> bytes:
        """What all are sent who only listen to ``room`` (or _SILENT, or _DEAF); encoded once a tick."""
        key = (room, codec)
        payload = self._payloads.get(key)
        if payload is None:
            stream = self._shared.get(key)
            if stream is None:
                stream = self._shared[key] = Stream(codec)
            rate = int(RATES[codec])
            payload = stream.encode(pcm, tick, lambda back: self._before(room, rate, tick, back))
            self._payloads[key] = payload
        return payload

    def _before(self, room: int, rate: int, tick: int, back: int) -> Float:
        """What those who only listen heard ``back`` ticks ago."""
        sums = self._past[-back].get(rate) if room >= 0 and back <= len(self._past) else None
        slot = int(sums.slot_of_room[room]) if sums is not None else -1
        return self._quiet(room, rate, tick - back) if sums is None or slot < 0 else sums.total[slot]

    def _quiet(self, room: int, rate: int, tick: int) -> Float:
        """What is heard while nobody speaks."""
        if room == _DEAF or self._comfort is None:
            return np.zeros(samples_per_tick(rate), np.float32)
        return self._comfort.samples(rate, tick)

    def _note_heard(self, legs: Legs, rows: Int) -> None:
        """Who comes into the mix, and a conference in which somebody speaks again, does so from silence: the filters
        start empty."""
        now = set(rows.tolist())
        for row in now - self._wide_heard:
            self._up.reset(row)
            self._down.reset(row)
        self._wide_heard = now
        speaking = set(legs.room[rows].tolist())
        for room in speaking - self._wide_rooms:
            self._down_rooms.reset(room)
        self._wide_rooms = speaking

    def _sum_at(
        self, rate: int, legs: Legs, sound: Sound, rows: Int, narrow: Float, played: Batch | None, tick: int
    ) -> Iterator[tuple[int, Sums]]:
        """Sums of the conferences that mix at ``rate``, for each rate that is heard there."""
        source_rate = RATES[legs.codec[rows]]
        voice = np.zeros((len(rows), samples_per_tick(rate)), np.float32)
        for codec_rate in (8000, *_WIDE_RATES):
            at = np.flatnonzero(source_rate == codec_rate)
            if not len(at):
                continue
            if codec_rate == RATES[0]:
                own = narrow[at]
            else:
                own = np.stack([self._legs[row].pcm for row in rows[at].tolist()])
                sound.treat(legs, rows[at], own)
            voice[at] = self._up.process(codec_rate, rate, rows[at], own)
        sums = sum_rooms(self._capacity, rows, legs.room[rows], voice, played)
        sound.limiter.apply(sums.rooms, sums.total, tick)
        sound.limiter.follow(legs.room[rows], voice)
        for hears in self._rates_needed[rate]:
            at = np.flatnonzero(source_rate == hears)
            total = self._down_rooms.process(rate, hears, sums.rooms, sums.total)
            own = self._down.process(rate, hears, rows[at], voice[at])
            yield hears, Sums(sums.slot_of_room, sums.rooms, total, rows[at], own)


def _own_mix(legs: Legs, sums: Sums, slot: int, row: int, heard: bool) -> Float:
    """What one leg hears of its conference: all but itself, at its own volume."""
    total = sums.total[slot]
    own = total - sums.voice[sums.rows == row].sum(axis=0) if heard else total
    mix: Float = own * np.float32(0 if legs.deaf[row] else legs.listen_gain[row])
    return mix


def _put(outbox: Outbox, rows: Int | list[int], payload: bytes) -> None:
    """Send ``payload`` to all of ``rows``."""
    size = min(len(payload), PACKET - RTP_HEADER)
    outbox.buffer[rows, RTP_HEADER : RTP_HEADER + size] = np.frombuffer(payload, np.uint8)[:size]
    outbox.size[rows] = RTP_HEADER + size


def _join(parts: list[Sums]) -> Sums:
    """Sums of disjoint sets of conferences as one."""
    if len(parts) == 1:
        return parts[0]
    slots = np.full_like(parts[0].slot_of_room, -1)
    at = 0
    for part in parts:
        used = part.slot_of_room >= 0
        slots[used] = part.slot_of_room[used] + at
        at += len(part.total)
    return Sums(
        slots,
        np.concatenate([part.rooms for part in parts]),
        np.concatenate([part.total for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.voice for part in parts]),
    )
