"""RFC 4733 key presses through loss, repetition and reordering."""

from __future__ import annotations

import itertools
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixer.telephone_event import DIGITS, SILENT_TICKS, KeyPress, Receiver, Sender

Packet = tuple[bytes, int, bool]


def feed(receiver: Receiver, packets: list[Packet]) -> list[KeyPress]:
    return [press for packet in packets if (press := receiver.feed(*packet)) is not None]


def press(digit: str, start: int, duration_ms: int = 100) -> list[Packet]:
    return list(Sender(digit, duration_ms, start))


def payload(code: int, duration: int, *, end: bool = False) -> bytes:
    return struct.pack("!BBH", code, (0x80 if end else 0) | 10, duration)


def test_b34_each_digit_is_reported_once_with_its_length() -> None:
    receiver = Receiver(8000)
    packets = list(itertools.chain(*(press(d, 8000 * i, 80 + i) for i, d in enumerate(DIGITS))))
    assert feed(receiver, packets) == [KeyPress(d, 80 + i) for i, d in enumerate(DIGITS)]


def test_the_packets_of_a_press_are_those_of_the_rfc() -> None:
    # RFC 4733 section 2.5.1: one timestamp, marker first, growing durations, three ends.
    assert press("5", 1000, 60) == [
        (bytes.fromhex("050a00a0"), 1000, True),
        (bytes.fromhex("050a0140"), 1000, False),
        (bytes.fromhex("058a01e0"), 1000, False),
        (bytes.fromhex("058a01e0"), 1000, False),
        (bytes.fromhex("058a01e0"), 1000, False),
    ]


def test_the_tone_is_kept_out_of_the_mix_while_the_key_is_held() -> None:
    receiver = Receiver(8000)
    packets = press("1", 0)
    states = []
    for packet in packets:
        receiver.feed(*packet)
        states.append(receiver.active)
    assert states == [True] * (len(packets) - 3) + [False] * 3


@given(st.integers(0, 2**32 - 1), st.randoms(use_true_random=False))
def test_b34_loss_and_reordering_never_make_a_second_press(start: int, rng: random.Random) -> None:
    receiver = Receiver(8000)
    digits = [rng.choice(DIGITS) for _ in range(5)]
    expected = []
    got = []
    for index, digit in enumerate(digits):
        packets = press(digit, (start + index * 2400) % 2**32)
        kept = [p for p in packets if rng.random() > 0.4]
        rng.shuffle(kept)
        kept += rng.sample(kept, len(kept) // 2)
        got += feed(receiver, kept)
        if kept:
            expected.append(digit)
    last = receiver.expire(SILENT_TICKS + 1)
    assert [k.digit for k in [*got, *([last] if last else [])]] == expected


def test_b34_a_press_whose_ends_are_lost_is_reported_when_the_next_begins() -> None:
    receiver = Receiver(8000)
    assert feed(receiver, press("3", 0)[:-3]) == []
    assert feed(receiver, press("3", 4000)) == [KeyPress("3", 80), KeyPress("3", 100)]


def test_b34_a_press_whose_ends_are_lost_is_reported_after_silence() -> None:
    receiver = Receiver(8000)
    feed(receiver, press("7", 0)[:-3])
    assert receiver.expire(SILENT_TICKS) is None
    held = receiver.active
    assert receiver.expire(SILENT_TICKS + 1) == KeyPress("7", 80)
    assert (held, receiver.active) == (True, False)
    assert receiver.expire(SILENT_TICKS + 2) is None
    assert feed(receiver, press("7", 0)[-3:]) == []


def test_a_key_still_held_after_a_gap_keeps_its_tone_out_but_is_no_second_press() -> None:
    receiver = Receiver(8000)
    packets = press("7", 0, 400)
    feed(receiver, packets[:4])
    assert receiver.expire(SILENT_TICKS + 1) is not None
    assert feed(receiver, packets[12:14]) == []
    assert receiver.active
    assert feed(receiver, packets[14:]) == []


def test_two_presses_in_two_packets_are_both_reported() -> None:
    receiver = Receiver(8000)
    first, second = press("1", 0)[0], press("2", 2000)[-1]
    assert feed(receiver, [first, second]) == [KeyPress("1", 20)]
    assert receiver.expire(1) == KeyPress("2", 100)
    assert feed(receiver, [second]) == []


def test_a_key_held_for_twenty_seconds_is_one_press() -> None:
    packets = press("*", 4294900000, 20_000)
    assert len({timestamp for _, timestamp, _ in packets}) == 3
    assert feed(Receiver(8000), packets) == [KeyPress("*", 20_000)]


def test_a_long_press_with_the_last_packets_of_a_segment_lost_is_one_press() -> None:
    packets = press("*", 0, 10_000)
    switch = next(i for i, p in enumerate(packets) if p[1] != 0)
    assert feed(Receiver(8000), packets[: switch - 5] + packets[switch + 3 :]) == [KeyPress("*", 10_000)]


def test_a_long_press_cut_before_the_longest_duration_is_one_press() -> None:
    # Some senders begin the next segment at the last whole packet: 409 of 160.
    first = [(payload(11, 160 * i), 0, i == 1) for i in range(1, 410)]
    second = [(payload(11, 160 * i, end=i > 90), 65440, False) for i in range(1, 92)]
    assert feed(Receiver(8000), first + second) == [KeyPress("#", 10_000)]


def test_the_longest_duration_seen_counts_when_packets_are_reordered_and_the_ends_lost() -> None:
    receiver = Receiver(8000)
    packets = press("7", 0)[:-3]
    assert feed(receiver, [packets[0], packets[3], packets[2]]) == []
    assert receiver.expire(SILENT_TICKS + 1) == KeyPress("7", 80)


def test_a_late_packet_of_the_earlier_press_changes_nothing() -> None:
    receiver = Receiver(8000)
    earlier, later = press("1", 0), press("1", 2000)
    assert feed(receiver, earlier[:-1] + later[:2] + earlier[-1:] + later[2:]) == [
        KeyPress("1", 100),
        KeyPress("1", 100),
    ]


def test_a_sender_that_begins_anew_at_an_older_timestamp_is_heard() -> None:
    receiver = Receiver(8000)
    assert feed(receiver, press("1", 900_000) + press("2", 5)) == [KeyPress("1", 100), KeyPress("2", 100)]


def test_a_press_counts_time_in_the_clock_rate_negotiated() -> None:
    assert feed(Receiver(48000), list(Sender("#", 120, 0, clock_rate=48000))) == [KeyPress("#", 120)]


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x01", b"\x01\x8a\x00", payload(16, 800, end=True), payload(255, 800, end=True), payload(5, 0, end=True)],
    ids=["empty", "one byte", "three bytes", "flash", "unknown", "no length"],
)
def test_what_is_no_key_press_is_ignored(garbage: bytes) -> None:
    receiver = Receiver(8000)
    assert receiver.feed(garbage, 0, True) is None
    assert receiver.expire(SILENT_TICKS + 1) is None
    assert not receiver.active


def test_a_first_packet_without_length_is_a_beginning() -> None:
    receiver = Receiver(8000)
    assert receiver.feed(payload(5, 0), 0, True) is None
    assert receiver.active
    assert receiver.feed(payload(5, 800, end=True), 0, False) == KeyPress("5", 100)


@given(st.lists(st.tuples(st.binary(max_size=8), st.integers(0, 2**32 - 1), st.booleans())))
def test_foreign_bytes_never_raise(packets: list[Packet]) -> None:
    receiver = Receiver(8000)
    for press_ in feed(receiver, packets):
        assert press_.digit in DIGITS
        assert press_.duration_ms >= 0


@pytest.mark.parametrize(
    ("digit", "duration_ms", "volume"), [("E", 100, 10), ("", 100, 10), ("12", 100, 10), ("1", 0, 10), ("1", 100, 64)]
)
def test_a_press_that_cannot_be_is_refused(digit: str, duration_ms: int, volume: int) -> None:
    with pytest.raises(ValueError, match=r"digit|duration_ms|volume"):
        Sender(digit, duration_ms, 0, volume=volume)
