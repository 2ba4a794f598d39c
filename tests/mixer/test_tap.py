"""The tap: what is recorded leaves the tick without ever holding it up."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.limiter import CEILING
from mixer.mix import sum_rooms
from mixer.tap import HEADER, MAX_DATAGRAM, Tap, open_tap

Float = NDArray[np.float32]
Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    pair = open_tap()
    yield pair
    for end in pair:
        end.close()


def received(sock: socket.socket) -> list[tuple[int, int, int, NDArray[np.int16]]]:
    """Tick, stream, rate and samples of what waits."""
    out: list[tuple[int, int, int, NDArray[np.int16]]] = []
    while True:
        try:
            data = sock.recv(MAX_DATAGRAM)
        except BlockingIOError:
            return out
        out.append((*HEADER.unpack_from(data), np.frombuffer(data, "<i2", offset=HEADER.size)))


def frame(value: float, samples: int = 160) -> Float:
    return np.full((1, samples), value, np.float32)


def test_b27_a_conferences_sum_and_a_legs_voice_are_sent_once_a_tick(ends: Ends) -> None:
    tap = Tap(ends[0])
    tap.record_room(7, 2)
    tap.record_leg(8, 5)
    voices = np.concatenate((frame(100), frame(20), frame(3)))
    tap.take(8000, sum_rooms(8, np.array([1, 4, 5]), np.array([0, 2, 2]), voices))
    tap.send(1_000_000)
    (room, leg) = received(ends[1])
    assert room[:3] == (1_000_000, 7, 8000)
    assert (room[3] == 23).all()
    assert leg[:3] == (1_000_000, 8, 8000)
    assert (leg[3] == 3).all()
    assert (tap.sent, tap.dropped) == (2, 0)


def test_b27_conferences_at_several_rates_are_taken_in_one_tick(ends: Ends) -> None:
    tap = Tap(ends[0])
    for stream, room in ((1, 0), (2, 3)):
        tap.record_room(stream, room)
    tap.take(8000, sum_rooms(4, np.array([0]), np.array([0]), frame(5)))
    tap.take(48000, sum_rooms(4, np.array([2]), np.array([3]), frame(6, 960)))
    tap.send(1)
    assert [(stream, rate, len(pcm)) for _, stream, rate, pcm in received(ends[1])] == [(1, 8000, 160), (2, 48000, 960)]


def test_where_nobody_is_heard_a_header_alone_tells_of_silence(ends: Ends) -> None:
    tap = Tap(ends[0])
    tap.record_room(1, 0)
    tap.record_leg(2, 3)
    tap.take(8000, sum_rooms(4, np.array([0]), np.array([0]), frame(5)))
    tap.send(1)
    tap.send(2)
    tap.take(8000, sum_rooms(4, np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 160), np.float32)))
    tap.send(3)
    got = [(tick, stream, rate, len(pcm)) for tick, stream, rate, pcm in received(ends[1])]
    assert got == [(1, 1, 8000, 160), (1, 2, 0, 0), (2, 1, 0, 0), (2, 2, 0, 0), (3, 1, 0, 0), (3, 2, 0, 0)]


def test_sums_too_loud_are_softened_and_the_mix_itself_is_left_alone(ends: Ends) -> None:
    tap = Tap(ends[0])
    tap.record_room(1, 0)
    sums = sum_rooms(4, np.array([0]), np.array([0]), frame(90_000))
    tap.take(8000, sums)
    tap.send(1)
    ((_, _, _, pcm),) = received(ends[1])
    assert 30_000 * 0.9 < pcm[0] <= CEILING
    assert sums.total[0, 0] == 90_000


def test_a_recorder_that_does_not_read_costs_drops_but_never_a_wait(ends: Ends) -> None:
    ends[0].setblocking(True)
    tap = Tap(ends[0])
    tap.record_room(1, 0)
    sums = sum_rooms(4, np.array([0]), np.array([0]), frame(1, 960))
    for tick in range(20_000):
        tap.take(48000, sums)
        tap.send(tick)
        if tap.dropped:
            break
    assert tap.dropped
    assert tap.sent > 40, "a second's pause of the recorder must not cost sound"
    assert [tick for tick, *_ in received(ends[1])] == list(range(tap.sent))
    tap.send(30_000)
    assert [tick for tick, *_ in received(ends[1])] == [30_000], "and it goes on afterwards"


def test_without_anybody_at_the_other_end_frames_are_dropped_and_counted(ends: Ends) -> None:
    tap = Tap(ends[0])
    tap.record_room(1, 0)
    ends[1].close()
    tap.send(1)
    assert (tap.sent, tap.dropped) == (0, 1)


def test_streams_follow_their_rows_and_end_with_leg_conference_or_command(ends: Ends) -> None:
    tap = Tap(ends[0])
    tap.record_leg(1, 6)
    tap.record_leg(2, 2)
    tap.record_room(3, 6)
    tap.move(6, 2)
    tap.reset(6)
    tap.take(8000, sum_rooms(8, np.array([2, 6]), np.array([6, 6]), np.concatenate((frame(4), frame(5)))))
    tap.send(1)
    assert [(stream, pcm[0]) for _, stream, _, pcm in received(ends[1])] == [(3, 9), (1, 4)]
    tap.forget_room(6)
    tap.stop(1)
    tap.stop(99)
    assert not tap.active
    tap.send(2)
    assert received(ends[1]) == []


def test_starting_a_stream_again_elsewhere_leaves_its_first_place(ends: Ends) -> None:
    tap = Tap(ends[0])
    tap.record_room(1, 0)
    tap.record_room(1, 0)
    tap.record_room(1, 2)
    tap.send(1)
    assert len(received(ends[1])) == 1


def test_a_mixer_that_records_nothing_needs_no_recorder() -> None:
    tap = Tap()
    assert not tap.active
    tap.send(1)
    assert tap.dropped == 0
