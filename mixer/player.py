"""Prompts and music: clips played to single legs and to whole conferences.

A clip is held at every rate that is mixed at, made elsewhere: nothing is resampled in the tick. A playlist is played
without gaps; while it plays, what else is heard may be lowered (ducking). Each leg and each conference has one playlist
at a time and a short queue; a playlist that takes the place of another is cross-faded with it, one that is stopped
fades out, each within one tick (20 ms). Samples are float32 in int16 scale.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .levels import amplitude

RATES: Final = (8000, 16000, 48000)
BASE_RATE: Final = 8000
"""Positions in a clip count at this rate, so that a listener's rate may change while it plays."""
TICK: Final = BASE_RATE // 50
MAX_BYTES: Final = 512 << 20
"""Of all clips loaded: an hour of speech, at the three rates together."""
MAX_CLIP_SECONDS: Final = 600
MAX_CLIPS_PLAYED: Final = 64
"""In one playlist."""
MAX_QUEUED: Final = 16
"""Playlists waiting for one leg or conference."""
SHORTEST_LOOP: Final = BASE_RATE // 10
"""A loop is at least this long (100 ms): what is shorter is a buzz, and would be joined many times a tick."""
START_PARTS: Final = 4
"""A playlist that takes nobody's place fades in within this part of a tick (5 ms), wherever its wave begins."""
DUCK_TICKS: Final = 2
"""The way down and the way up take so many ticks (40 ms)."""

Float = NDArray[np.float32]
Int = NDArray[np.int64]


class PlayError(ValueError):
    """A clip cannot be loaded or a playlist not be played: ``field`` and ``reason``."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Clip:
    """Samples at each rate; ``length`` in samples of BASE_RATE, the longest of them."""

    def __init__(self) -> None:
        self.length = 0
        self.size = 0
        """Bytes."""
        self._pcm: dict[int, NDArray[np.int16]] = {}
        self._total: dict[int, int] = {}
        self._come: dict[int, int] = {}
        """By rate, samples that are there."""

    @property
    def ready(self) -> bool:
        """It has come whole, at every rate."""
        return len(self._pcm) == len(RATES) and self._come == self._total

    def begin(self, rate: int, total: int) -> None:
        """``total`` samples will come at ``rate``. Kept in whole samples of BASE_RATE, the rest is silence."""
        ratio = rate // BASE_RATE
        length = -(-total // ratio)
        self._pcm[rate] = np.zeros(length * ratio, np.int16)
        self._total[rate], self._come[rate] = total, 0
        self.size += length * ratio * 2
        self.length = max(self.length, length)

    def put(self, rate: int, pcm: NDArray[np.int16]) -> None:
        come = self._come[rate]
        self._pcm[rate][come : come + len(pcm)] = pcm
        self._come[rate] = come + len(pcm)

    def come(self, rate: int) -> int:
        """How many samples are there at ``rate``."""
        return self._come.get(rate, 0)

    def total(self, rate: int) -> int | None:
        """How many there will be; None when none has come."""
        return self._total.get(rate)

    def copy_to(self, out: Float, rate: int, at: int, gain: np.float32) -> None:
        """Fill ``out`` with samples at ``rate`` from ``at`` (of BASE_RATE) on; after the last there is silence."""
        begin = at * (rate // BASE_RATE)
        part = self._pcm[rate][begin : begin + len(out)]
        if len(part) == len(out):
            np.multiply(part, gain, out=out)
        else:
            np.multiply(part, gain, out=out[: len(part)])
            out[len(part) :] = 0


@dataclass(frozen=True, slots=True)
class Playlist:
    """Clips to be played one after the other.

    ``token`` comes back when it is over. ``loop``: from the beginning again, until stopped. ``duck_db``: by how much
    everything else is lowered meanwhile. ``queued``: after what plays and waits already instead of in its place;
    what loops ends for it.
    """

    token: int
    clips: tuple[str, ...]
    loop: bool = False
    gain_db: float = 0.0
    duck_db: float = 0.0
    queued: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """One tick of all listeners (rows, or conferences' indices) with the same rate.

    ``listeners`` int64[k], ascending; ``frames`` float32[k, rate / 50]; what else they hear is to be multiplied by a
    gain that goes linearly from ``duck_from`` to ``duck_to`` float32[k] in the frame (see duck()).
    """

    listeners: Int
    frames: Float
    duck_from: Float
    duck_to: Float

    def duck(self, which: Int, frames: Float) -> None:
        """Lower, in place, ``frames`` float32[n, samples] that are heard by this batch's listeners ``which`` (their
        places in it, int64[n])."""
        start, end = self.duck_from[which], self.duck_to[which]
        at = np.flatnonzero((start != 1) | (end != 1))
        if not len(at):
            return
        size = frames.shape[1]
        reach = np.arange(1, size + 1, dtype=np.float32) / np.float32(size)
        frames[at] *= start[at, None] + (end - start)[at, None] * reach


@dataclass(slots=True)
class _Running:
    """A playlist that plays. ``at``: the next sample of BASE_RATE in the clip."""

    playlist: Playlist
    clips: list[Clip]
    gain: np.float32
    duck: float
    index: int = 0
    at: int = 0

    @property
    def over(self) -> bool:
        return self.index == len(self.clips)

    def skip_to_next(self) -> None:
        """Go on to the next clip, after the last one of a loop to the first."""
        self.at = 0
        self.index += 1
        if self.over and self.playlist.loop:
            self.index = 0


@dataclass(slots=True)
class _Deck:
    """What one leg or conference is played."""

    now: _Running | None = None
    leaving: _Running | None = None
    """Fades out in the coming tick."""
    queue: deque[_Running] = field(default_factory=deque)
    fresh: bool = False
    """What plays has yet to fade in."""
    duck: float = 1.0
    """Gain of everything else, on its way to ``duck_target``."""
    duck_target: float = 1.0
    duck_step: float = 0.0

    def turn_duck(self) -> None:
        """One tick nearer to what is wanted now."""
        target = self.now.duck if self.now is not None else 1.0
        if target != self.duck_target:
            self.duck_target = target
            self.duck_step = (target - self.duck) / DUCK_TICKS
        near = abs(self.duck_target - self.duck) <= abs(self.duck_step) * 1.5
        self.duck = self.duck_target if near else self.duck + self.duck_step


class _Decks:
    """The decks of all legs, or of all conferences. ``over`` takes the token of a playlist and whether it was played to
    its end."""

    def __init__(self, over: Callable[[int, bool], None]) -> None:
        self._decks: dict[int, _Deck] = {}
        self._over = over
        self._ramps: dict[int, tuple[Float, Float]] = {}

    def __len__(self) -> int:
        return len(self._decks)

    def play(self, listener: int, running: _Running) -> None:
        """Raises PlayError when the queue is full."""
        deck = self._decks.get(listener)
        if deck is None:
            deck = self._decks[listener] = _Deck()
        if running.playlist.queued and deck.now is not None and not deck.now.playlist.loop:
            if deck.queue and deck.queue[-1].playlist.loop:
                self._over(deck.queue.pop().playlist.token, False)
            if len(deck.queue) >= MAX_QUEUED:
                raise PlayError("queued", f"{MAX_QUEUED} playlists wait already")
            deck.queue.append(running)
            return
        self._clear(deck)
        deck.now, deck.fresh = running, True

    def stop(self, listener: int) -> None:
        """Fade out what plays; what is queued is not played."""
        deck = self._decks.get(listener)
        if deck is not None:
            self._clear(deck)

    def drop(self, listener: int) -> None:
        """At once: the listener is gone."""
        deck = self._decks.pop(listener, None)
        if deck is not None:
            self._clear(deck)

    def move(self, src: int, dst: int) -> None:
        self.drop(dst)
        if src in self._decks:
            self._decks[dst] = self._decks.pop(src)

    def frames(self, rates: Int) -> dict[int, Batch]:
        """One tick. ``rates``: int64, rate by listener."""
        if not self._decks:
            return {}
        by_rate: dict[int, list[int]] = {}
        listeners = sorted(self._decks)
        for listener, rate in zip(listeners, rates[listeners].tolist(), strict=True):
            by_rate.setdefault(rate, []).append(listener)
        return {rate: self._batch(listeners, rate) for rate, listeners in by_rate.items()}

    def _batch(self, listeners: list[int], rate: int) -> Batch:
        frames = np.empty((len(listeners), rate // 50), np.float32)
        ducks = np.empty((2, len(listeners)), np.float32)
        for place, listener in enumerate(listeners):
            deck = self._decks[listener]
            ducks[0, place] = deck.duck
            deck.turn_duck()
            ducks[1, place] = deck.duck
            self._render(deck, frames[place], rate)
            if deck.now is None and deck.duck == 1:
                del self._decks[listener]
        return Batch(np.array(listeners, np.int64), frames, ducks[0], ducks[1])

    def _render(self, deck: _Deck, out: Float, rate: int) -> None:
        now = deck.now
        if now is not None and now.clips[now.index].length - now.at > TICK:
            now.clips[now.index].copy_to(out, rate, now.at, now.gain)
            now.at += TICK
        else:
            self._fill(deck, out, rate)
        if deck.fresh:
            deck.fresh = False
            out *= self._ramp(rate)[deck.leaving is not None]
        if deck.leaving is not None:
            last = np.zeros_like(out)
            _fill_from(deck.leaving, last, rate)
            last *= 1 - self._ramp(rate)[1]
            out += last
            deck.leaving = None

    def _fill(self, deck: _Deck, out: Float, rate: int) -> None:
        """A tick in which a clip ends: the next one, or the next playlist, begins at that very sample."""
        filled = 0
        while deck.now is not None and filled < len(out):
            filled += _fill_from(deck.now, out[filled:], rate)
            if deck.now.over:
                self._over(deck.now.playlist.token, True)
                deck.now = deck.queue.popleft() if deck.queue else None
        out[filled:] = 0

    def _clear(self, deck: _Deck) -> None:
        waiting = list(deck.queue)
        deck.queue.clear()
        if deck.now is not None:
            if not deck.fresh:
                deck.leaving = deck.now
            waiting.insert(0, deck.now)
            deck.now = None
        deck.fresh = False
        for running in waiting:
            self._over(running.playlist.token, False)

    def _ramp(self, rate: int) -> tuple[Float, Float]:
        """Fading in from silence, and in exchange for another."""
        known = self._ramps.get(rate)
        if known is None:
            reach = np.arange(1, rate // 50 + 1, dtype=np.float32) / np.float32(rate // 50)
            known = self._ramps[rate] = np.minimum(reach * START_PARTS, 1).astype(np.float32), reach
        return known


def _fill_from(running: _Running, out: Float, rate: int) -> int:
    """Samples that ``running`` had for ``out``; less than it takes when the playlist is over."""
    ratio, filled = rate // BASE_RATE, 0
    while filled < len(out) and not running.over:
        clip = running.clips[running.index]
        size = min(len(out) - filled, (clip.length - running.at) * ratio)
        clip.copy_to(out[filled : filled + size], rate, running.at, running.gain)
        filled += size
        running.at += size // ratio
        if running.at == clip.length:
            running.skip_to_next()
    return filled


class Player:
    """Clips, and what is played to the rows and conferences of a mixer (indices below ``capacity`` both)."""

    def __init__(self, capacity: int, max_bytes: int = MAX_BYTES) -> None:
        self.capacity = capacity
        self.clip_bytes = 0
        self._max_bytes = max_bytes
        self._clips: dict[str, Clip] = {}
        self._loading: dict[str, Clip] = {}
        self._finished: list[tuple[int, bool]] = []
        self._legs = _Decks(self._note_over)
        self._rooms = _Decks(self._note_over)

    # --- clips -------------------------------------------------------------------------------------------------------

    def load(self, clip: str, rate: int, pcm: NDArray[np.int16], *, offset: int = 0, total: int | None = None) -> None:
        """Take ``pcm``, int16[n] at ``rate``, all of it or the part at ``offset`` of ``total`` samples.

        Parts come in order. The clip can be played once it is there at all of RATES; until then an older one of that
        name stays. What plays already goes on as it was. Raises PlayError.
        """
        total = len(pcm) if total is None else total
        self._check_part(rate, len(pcm), offset, total)
        new = self._loading.get(clip)
        if new is None or (offset == 0 and new.come(rate)):
            self._forget_loading(clip)
            new = self._loading[clip] = Clip()
        if offset != new.come(rate) or (offset and total != new.total(rate)):
            raise PlayError("offset", f"{offset} of {total} does not follow on {new.come(rate)} of {new.total(rate)}")
        if offset == 0:
            self._make_room(clip, new, rate, total)
        new.put(rate, pcm)
        if new.ready:
            del self._loading[clip]
            self._release(self._clips.get(clip))
            self._clips[clip] = new

    def unload(self, clip: str) -> None:
        """Forget a clip; where it plays, or is queued, it is played to its end."""
        self._forget_loading(clip)
        self._release(self._clips.pop(clip, None))

    def has(self, clip: str) -> bool:
        return clip in self._clips

    @staticmethod
    def _check_part(rate: int, size: int, offset: int, total: int) -> None:
        if rate not in RATES:
            raise PlayError("rate", f"{rate} is none of {', '.join(map(str, RATES))}")
        if not 0 < total <= MAX_CLIP_SECONDS * rate:
            raise PlayError("total", f"{total} samples are not between 1 and {MAX_CLIP_SECONDS} seconds")
        if not size or offset < 0 or offset + size > total:
            raise PlayError("pcm", f"{size} samples at {offset} are no part of {total}")

    def _make_room(self, clip: str, new: Clip, rate: int, total: int) -> None:
        if self.clip_bytes + total * 2 > self._max_bytes:
            self._forget_loading(clip)
            raise PlayError("pcm", f"clips would take more than {self._max_bytes} bytes")
        before = new.size
        new.begin(rate, total)
        self.clip_bytes += new.size - before

    def _forget_loading(self, clip: str) -> None:
        self._release(self._loading.pop(clip, None))

    def _release(self, clip: Clip | None) -> None:
        if clip is not None:
            self.clip_bytes -= clip.size

    # --- playing -----------------------------------------------------------------------------------------------------

    def play_leg(self, row: int, playlist: Playlist) -> None:
        """Only the leg hears it. Raises PlayError, and changes nothing then."""
        self._legs.play(row, self._prepare(playlist))

    def play_room(self, room: int, playlist: Playlist) -> None:
        """The whole conference hears it. Raises PlayError, and changes nothing then."""
        self._rooms.play(room, self._prepare(playlist))

    def stop_leg(self, row: int) -> None:
        self._legs.stop(row)

    def stop_room(self, room: int) -> None:
        self._rooms.stop(room)

    def leg_frames(self, rates: Int) -> dict[int, Batch]:
        """This tick's frames of the legs that are played something, by rate. ``rates``: int64[rows], each leg's."""
        return self._legs.frames(rates)

    def room_frames(self, rates: Int) -> dict[int, Batch]:
        """Likewise of conferences. ``rates``: int64[rooms], what each mixes at."""
        return self._rooms.frames(rates)

    def finished(self) -> list[tuple[int, bool]]:
        """Playlists that are over since the last call: token, and whether it was played to its end. Each comes once."""
        over, self._finished = self._finished, []
        return over

    def __len__(self) -> int:
        """Legs and conferences that are played something."""
        return len(self._legs) + len(self._rooms)

    def _prepare(self, playlist: Playlist) -> _Running:
        if not 0 < len(playlist.clips) <= MAX_CLIPS_PLAYED:
            raise PlayError("clips", f"{len(playlist.clips)} are not between 1 and {MAX_CLIPS_PLAYED}")
        clips = [self._clips.get(name) for name in playlist.clips]
        for name, clip in zip(playlist.clips, clips, strict=True):
            if clip is None:
                raise PlayError("clips", f"{name!r} is not loaded")
        known = [clip for clip in clips if clip is not None]
        if playlist.loop and sum(clip.length for clip in known) < SHORTEST_LOOP:
            raise PlayError("loop", "less than 100 ms cannot be looped")
        gain, duck = np.float32(amplitude(playlist.gain_db)), amplitude(min(-playlist.duck_db, 0))
        return _Running(playlist, known, gain, duck)

    def _note_over(self, token: int, complete: bool) -> None:
        self._finished.append((token, complete))

    # --- rows and conferences that come and go -----------------------------------------------------------------------

    def reset(self, row: int) -> None:
        """The leg is gone, and with it what it was played (its tokens are finished)."""
        self._legs.drop(row)

    def move(self, src: int, dst: int) -> None:
        self._legs.move(src, dst)

    def forget_room(self, room: int) -> None:
        """The conference is gone."""
        self._rooms.drop(room)
