"""The benchmark's judge tells who hears whom, whatever the codec."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.phones import FRAMES_KEPT, Heard
from benchmarks.streams import FORMATS, decode, encode
from benchmarks.tones import CODECS, Seating, judge
from mixer.wide_leg import opus_voice

SEATING = Seating(legs=30, room=10, talkers=2)


def _heard(seating: Seating, *, without_self: bool = True, shift: int = 0, together: tuple[int, ...] = ()) -> Heard:
    """What a right mixer would let every leg hear; rooms ``together`` are one by mistake; one second shifted."""
    streams, plays = seating.streams()
    spoken = [decode(stream.format, stream.payloads) for stream in streams]
    voice = [_at_48k(spoken[play], streams[play].format.rate) for play in plays]
    rooms = [together[0] if room in together else room for room in seating.room_of().tolist()]
    mixes = {room: sum(v for v, r in zip(voice, rooms, strict=True) if r == room) for room in set(rooms)}
    heard = Heard(
        FRAMES_KEPT,
        np.ones((seating.legs, FRAMES_KEPT), np.bool_),
        np.zeros((seating.legs, FRAMES_KEPT, 480), np.uint8),
        np.zeros((seating.legs, FRAMES_KEPT), np.int16),
        np.zeros(seating.legs),
    )
    for leg, codec in enumerate(seating.codec_of()):
        mix = np.asarray(mixes[rooms[leg]] - voice[leg] * without_self)
        mix[48000:] = np.roll(mix[48000:], shift)
        for at, payload in enumerate(encode(FORMATS[codec], mix[:: 48000 // FORMATS[codec].rate]).payloads):
            heard.audio[leg, at, : len(payload)] = np.frombuffer(payload, np.uint8)
            heard.sizes[leg, at] = len(payload)
    return heard


def _at_48k(pcm: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Two seconds at 48 kHz: good enough for a DFT at frequencies far below."""
    times = np.arange(2 * 48000) / 48000
    return np.interp(times, np.arange(2 * rate) / rate, np.tile(pcm, 2)[: 2 * rate]).astype(np.float32)


@pytest.mark.parametrize("codec", CODECS)
def test_right_mixes_are_found_right(codec: str) -> None:
    seating = Seating(legs=24, room=12, talkers=2, codec=codec)
    verdict = judge(seating, _heard(seating))
    assert (verdict.right, verdict.judged) == (24, 24)
    assert verdict.level_db == pytest.approx((0, 0), abs=4)


def test_talkers_who_hear_themselves_are_found() -> None:
    verdict = judge(SEATING, _heard(SEATING, without_self=False))
    assert (verdict.hear_themselves, verdict.right) == (6, 24)


def test_silence_is_found_to_miss_the_talkers() -> None:
    heard = _heard(SEATING)
    heard.sizes[:] = 0
    assert judge(SEATING, heard).miss_someone == 30


def test_who_did_not_get_in_is_not_missed() -> None:
    heard = _heard(SEATING)
    heard.sizes[:10] = 0
    verdict = judge(SEATING, heard, absent=range(10))
    assert (verdict.right, verdict.judged) == (20, 20)


def test_a_talker_who_did_not_get_in_need_not_be_heard() -> None:
    assert judge(SEATING, _heard(SEATING), absent=[0]).hear_strangers == 9


def test_the_voice_of_another_room_is_found() -> None:
    verdict = judge(SEATING, _heard(SEATING, together=(1, 2)))
    assert (verdict.hear_strangers, verdict.right) == (20, 10)


def test_a_shift_of_the_playout_does_not_count_as_silence() -> None:
    assert judge(SEATING, _heard(SEATING, shift=240)).right == 30


def test_of_many_legs_with_a_codec_whole_rooms_are_judged() -> None:
    seating = Seating(legs=800, room=20, talkers=3, codec="G722")
    noise = Heard(
        FRAMES_KEPT,
        np.ones((800, FRAMES_KEPT), np.bool_),
        np.zeros((800, FRAMES_KEPT, 160), np.uint8),
        np.full((800, FRAMES_KEPT), 160, np.int16),
        np.zeros(800),
    )
    verdict = judge(seating, noise)
    assert (verdict.judged, verdict.right, verdict.miss_someone) == (100, 0, 100)


def test_an_opus_phone_says_by_its_packets_whether_its_owner_talks() -> None:
    streams, plays = Seating(legs=20, room=20, talkers=3, codec="OPUS").streams()
    talk = [np.mean([opus_voice(payload) for payload in streams[play].payloads]) for play in plays]
    assert min(talk[:3]) > 0.6
    assert max(talk[3:]) == 0
