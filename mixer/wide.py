"""Wideband: legs with G.722 (16 kHz) or Opus (48 kHz), and the conferences that mix at their rate.

Conferences whose legs all speak G.711 never come here. In the others every voice is brought up to the conference's
rate, summed there, and the sum brought down once for each lower rate that somebody hears. Bringing up and down is
linear, so a leg's own voice is taken out of what it hears by bringing down its own contribution too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .comfort import ComfortNoise
from .datagrams import PACKET, RTP_HEADER, Outbox
from .legs import CODECS, G722, OPUS, RATES, Legs
from .limiter import soften
from .mix import Sums, sum_rooms
from .player import Batch
from .playout import Playout
from .resample import Resampler
from .rooms import Rooms
from .sound import Sound
from .wide_leg import PRIMING, Stream, WideLeg, samples_per_tick

CONCEAL_FRAMES = 8
"""Decoders fade by themselves over so many lost frames; what is lost longer is silence."""
LINGER = 8
"""Ticks for which a leg keeps the stream of its own that it had need of: until the shared one sounds alike."""
_SILENT = -1
_DEAF = -2
"""In place of a conference: what everybody is sent whose conference is silent, and who is deaf."""
_WIDE_RATES = (16000, 48000)

Float = NDArray[np.float32]
Int = NDArray[np.int64]


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
                for hears, sums in self._sum_at(rate, legs, sound, heard[here], narrow[here], played.get(rate), tick):
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
