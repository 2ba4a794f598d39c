"""Where legs go: the least loaded mixer, none beyond what was measured, large conferences over several."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.placement import BASE_US, BUDGET, TICK_US, Place, Placement
from control.ports import MediaFullError
from mixer.protocol import Load


def load(legs: int, tick_us: float, late: int = 0) -> Load:
    return Load(legs, 1, 50, late, 0, tick_us, tick_us, 0, 0, 0, 0, 0, {})


def fill(placement: Placement) -> None:
    while True:
        placement.take("room")


def test_conferences_are_spread_and_stay_whole() -> None:
    placement = Placement(2, 100)
    first = placement.take("one")
    assert placement.take("two").mixer != first.mixer
    assert [placement.take("one") for _ in range(3)] == [Place(first.mixer)] * 3


def test_a_conference_larger_than_a_mixer_is_linked_with_its_home() -> None:
    placement = Placement(2, 5)
    places = [placement.take("big") for _ in range(5)]
    home = places[0].mixer
    assert [place.mixer for place in places[:4]] == [home] * 4
    assert places[4] == Place(1 - home, link_to=home)
    assert placement.take("big") == Place(1 - home)


def test_the_link_goes_with_the_last_leg_of_a_part() -> None:
    placement = Placement(2, 5)
    places = [placement.take("big") for _ in range(5)]
    assert placement.give_back("big", places[4].mixer) == [places[4].mixer]
    for place in places[:4]:
        assert placement.give_back("big", place.mixer) == []
    assert [room.legs for room in placement.rooms] == [0, 0]
    assert placement.home("big") is None


def test_whether_many_legs_would_find_a_place_is_found_out_without_taking_it() -> None:
    placement = Placement(2, 5)
    placement.take("big")
    before = [room.legs for room in placement.rooms]
    for conference in ("big", "new"):
        placement.check(conference, 6)
        with pytest.raises(MediaFullError):
            placement.check(conference, 7)
    assert [room.legs for room in placement.rooms] == before
    assert placement.home("new") is None


def test_admission_follows_the_measured_cost_of_a_leg() -> None:
    placement = Placement(1, 10_000)
    for _ in range(100):
        placement.take("room")
    for _ in range(30):
        placement.rooms[0].note(load(100, BASE_US + 100 * 50.0))  # dear legs: 50 us each
    with pytest.raises(MediaFullError, match="capacity"):
        fill(placement)
    assert placement.rooms[0].legs == pytest.approx((BUDGET * TICK_US - BASE_US) / 50, rel=0.02)


def test_a_mixer_with_late_ticks_takes_nobody_until_it_has_caught_up() -> None:
    placement = Placement(1, 100)
    placement.take("room")
    placement.rooms[0].note(load(1, 900, late=8))
    placement.take("room")  # a mixer with nothing to do was only held up by others
    placement.rooms[0].note(load(1, 0.4 * TICK_US, late=8))
    with pytest.raises(MediaFullError):
        placement.take("room")
    placement.rooms[0].note(load(1, 900))
    placement.take("room")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_whatever_comes_and_goes_the_counts_return_to_zero(steps: list[tuple[str, bool]]) -> None:
    placement = Placement(3, 7)
    inside: list[tuple[str, int]] = []
    for conference, joins in steps:
        if joins:
            try:
                inside.append((conference, placement.take(conference).mixer))
            except MediaFullError:
                continue
        elif inside:
            placement.give_back(*inside.pop(len(inside) // 2))
        assert all(0 <= room.legs <= room.capacity for room in placement.rooms)
    for leg in inside:
        placement.give_back(*leg)
    assert [room.legs for room in placement.rooms] == [0, 0, 0]
