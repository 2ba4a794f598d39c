"""The benchmark's judge tells who hears whom."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.phones import FRAME, FRAMES_KEPT
from benchmarks.tones import Seating, judge
from mixer.g711 import DECODE, ENCODE, PCMU

SEATING = Seating(legs=30, room=10, talkers=2)


def _mixed(without_self: bool = True, room_of: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
    """What a right mixer would let every leg hear; ``room_of`` seats them elsewhere than they should be."""
    rooms = SEATING.room_of() if room_of is None else room_of
    voice = np.tile(DECODE[PCMU][SEATING.sound()[SEATING.plays()]], (1, 2))
    heard = np.stack([voice[rooms == room].sum(axis=0) for room in rooms])
    if without_self:
        heard -= voice
    codes = ENCODE[PCMU][np.clip(heard, -32768, 32767).astype(np.int16).view(np.uint16)]
    return np.asarray(codes.reshape(SEATING.legs, FRAMES_KEPT, FRAME), np.uint8)


def test_right_mixes_are_found_right() -> None:
    verdict = judge(SEATING, _mixed())
    assert verdict.right == 30
    assert verdict.level_db == pytest.approx((0, 0), abs=0.1)


def test_talkers_who_hear_themselves_are_found() -> None:
    verdict = judge(SEATING, _mixed(without_self=False))
    assert (verdict.hear_themselves, verdict.right) == (6, 24)


def test_silence_is_found_to_miss_the_talkers() -> None:
    silence = np.full((30, FRAMES_KEPT, FRAME), 0xFF, np.uint8)
    assert judge(SEATING, silence).miss_someone == 30


def test_the_voice_of_another_room_is_found() -> None:
    together = np.where(SEATING.room_of() == 2, 1, SEATING.room_of())
    verdict = judge(SEATING, _mixed(room_of=together))
    assert (verdict.hear_strangers, verdict.right) == (20, 10)


def test_a_shift_of_the_playout_does_not_count_as_silence() -> None:
    shifted = _mixed()
    flat = shifted.reshape(30, -1)
    flat[:, 8000:] = np.roll(flat[:, 8000:], 40, axis=1)
    assert judge(SEATING, shifted).right == 30
