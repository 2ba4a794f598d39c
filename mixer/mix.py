"""Everyone hears the others: the sum of a conference without one's own voice, G.711 legs all at once.

Who is in the mix: sound.py. Everybody else in a conference hears the same frame, so it is encoded once per conference
and law; one more frame for each who is heard or has a listening gain of his own. Sums are float32, exact for whole
numbers up to 2**24 (512 legs at full scale), and bent below full scale once, at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .datagrams import FRAME_BYTES
from .g711 import ENCODE, SILENCE
from .legs import G722, Legs
from .limiter import soften
from .player import Batch

_LAWS = 2
_VOID_FRAME = f"V{FRAME_BYTES}"

Float = NDArray[np.float32]
Int = NDArray[np.int64]


@dataclass(slots=True)
class Sums:
    """What was mixed at 8 kHz this tick.

    ``slot_of_room`` int64[rooms]: place of a conference in ``total`` float32[slots, 160], -1 where nobody is heard;
    ``rooms`` int64[slots]: the other way round.
    ``rows``: who is heard, ``voice`` float32[len(rows), 160] what each adds to the total of his conference.
    """

    slot_of_room: Int
    rooms: Int
    total: Float
    rows: Int
    voice: Float


@dataclass(slots=True)
class MixPlan:
    """What only changes when legs come, go or are set."""

    g711: Int = field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows that hear G.711."""
    law: Int = field(default_factory=lambda: np.zeros(0, np.int64))
    """Their law, and so their silent frame's place in the pool."""
    room: Int = field(default_factory=lambda: np.zeros(0, np.int64))
    deaf: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    laws: tuple[int, ...] = ()
    gained: Int = field(default_factory=lambda: np.zeros(0, np.int64))
    """Places in ``g711`` of legs with a listening gain of their own."""


def plan_mix(legs: Legs) -> MixPlan:
    """Plan for the legs as they stand."""
    count = legs.count
    g711 = np.flatnonzero(legs.codec[:count] < G722)
    law = legs.codec[g711]
    deaf = legs.deaf[g711]
    return MixPlan(
        g711=g711,
        law=law,
        room=legs.room[g711],
        deaf=deaf,
        laws=tuple(int(x) for x in np.unique(law)),
        gained=np.flatnonzero((legs.listen_gain[g711] != 1) & ~deaf),
    )


def sum_rooms(rooms: int, rows: Int, room: Int, voice: Float, played: Batch | None = None) -> Sums:
    """Add up the voices per conference. ``room``: conference of each of ``rows``, ``voice`` float32[len(rows), n].

    ``played``: what whole conferences are played besides; their voices are lowered for it, in place.
    """
    heard = voice
    if played is not None:
        place = np.searchsorted(played.listeners, room)
        place[place == len(played.listeners)] = 0
        ducked = np.flatnonzero(played.listeners[place] == room)
        lowered = voice[ducked]
        played.duck(place[ducked], lowered)
        voice[ducked] = lowered
        room = np.concatenate((room, played.listeners))
        heard = np.concatenate((voice, played.frames))
    slot_of_room = np.full(rooms, -1, np.int64)
    order = np.argsort(room, kind="stable")
    sorted_room = room[order]
    first = np.ones(len(room), np.bool_)
    first[1:] = sorted_room[1:] != sorted_room[:-1]
    starts = np.flatnonzero(first)
    slot_of_room[sorted_room[starts]] = np.arange(len(starts))
    total = np.add.reduceat(heard[order], starts, axis=0) if len(room) else voice[:0]
    return Sums(slot_of_room, sorted_room[starts], total, rows, voice)


def to_int16(mix: Float) -> NDArray[np.int16]:
    """Bend what is too loud once, at the very end. Works in place."""
    soften(mix)
    return mix.astype(np.int16)


class G711Output:
    """Makes the frame that every G.711 leg is sent."""

    def __init__(self, capacity: int) -> None:
        self._place = np.zeros(capacity, np.int64)
        self._silence = np.repeat(SILENCE[:, None], FRAME_BYTES, axis=1).view(_VOID_FRAME)[:, 0]

    def frames(
        self, plan: MixPlan, legs: Legs, sums: Sums, comfort: NDArray[np.uint8] | None, played: Batch | None
    ) -> NDArray[np.void]:
        """Payload of each row in ``plan.g711``, void160[len(plan.g711)].

        ``comfort``: uint8[2, 160], what is heard by law while nobody speaks; None for silence. ``played``: what single
        legs are played besides.
        """
        slots = len(sums.total)
        quiet = self._silence if comfort is None else comfort.view(_VOID_FRAME)[:, 0]
        at_rest = np.where(plan.deaf, plan.law, plan.law + _LAWS)
        pieces = [self._silence, quiet]
        at = 2 * _LAWS
        if not slots and played is None:
            return np.concatenate(pieces)[at_rest]
        slot = sums.slot_of_room[plan.room]
        shared_at = np.zeros(_LAWS, np.int64)
        shared = to_int16(sums.total.copy()).view(np.uint16)
        for law in plan.laws:
            shared_at[law] = at
            pieces.append(ENCODE[law][shared].view(_VOID_FRAME)[:, 0])
            at += slots
        listens = (slot >= 0) & ~plan.deaf
        frame = np.where(listens, shared_at[plan.law] + slot, at_rest)
        own_rows, own = self._own(plan, legs, sums, listens)
        if played is not None:
            own_rows, own = _play_over(played, own_rows, own, sums, legs)
        if len(own_rows):
            self._place[plan.g711] = np.arange(len(plan.g711))
            place = self._place[own_rows]
            law_of_own = plan.law[place]
            own16 = to_int16(own).view(np.uint16)
            for law in plan.laws:
                sel = np.flatnonzero(law_of_own == law)
                pieces.append(ENCODE[law][own16[sel]].view(_VOID_FRAME)[:, 0])
                frame[place[sel]] = at + np.arange(len(sel))
                at += len(sel)
        return np.concatenate(pieces)[frame]

    @staticmethod
    def _own(plan: MixPlan, legs: Legs, sums: Sums, listens: NDArray[np.bool_]) -> tuple[Int, Float]:
        """Rows whose frame is theirs alone, and its samples."""
        speaks = (legs.codec[sums.rows] < G722) & ~legs.deaf[sums.rows]
        rows = sums.rows[speaks]
        own = sums.total[sums.slot_of_room[legs.room[rows]]] - sums.voice[speaks]
        if len(plan.gained):
            gained = plan.g711[plan.gained[listens[plan.gained]]]
            extra = gained[~np.isin(gained, rows)]
            rows = np.concatenate((rows, extra))
            own = np.concatenate((own, sums.total[sums.slot_of_room[legs.room[extra]]]))
            own *= legs.listen_gain[rows][:, None]
        return rows, own


def _play_over(played: Batch, rows: Int, own: Float, sums: Sums, legs: Legs) -> tuple[Int, Float]:
    """What legs hear that are played something: what they would have heard, lowered, and the clip over it.

    ``rows`` with frames of their own already keep them; the others start from their conference's total, or silence.
    """
    extra = played.listeners[~np.isin(played.listeners, rows)]
    slot = sums.slot_of_room[legs.room[extra]]
    more = np.zeros((len(extra), played.frames.shape[1]), np.float32)
    hears = (slot >= 0) & ~legs.deaf[extra]
    more[hears] = sums.total[slot[hears]] * legs.listen_gain[extra[hears]][:, None]
    rows, own = np.concatenate((rows, extra)), np.concatenate((own, more))
    order = np.argsort(rows)
    at = order[np.searchsorted(rows, played.listeners, sorter=order)]
    lowered = own[at]
    played.duck(np.arange(len(at)), lowered)
    own[at] = lowered + played.frames
    return rows, own
