"""The E-model against published values, and loss bursts against known patterns."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.quality import IMPAIRMENTS, PAUSE_TICKS, Impairment, LossBurst, effective_impairment, mos, opinion


def test_b33_without_impairment_the_rating_is_the_93_2_of_g_107() -> None:
    rating, score = mos("PCMA", 0.0)
    assert rating == pytest.approx(93.2, abs=0.05)
    assert score == pytest.approx(4.41, abs=0.005)


@pytest.mark.parametrize(("rating", "score"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_b33_ratings_become_the_mos_of_g_107_table_b_1(rating: float, score: float) -> None:
    assert opinion(rating) == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize(("rating", "score"), [(-5, 1), (0, 1), (3, 1), (100, 4.5), (140, 4.5)])
def test_b33_the_mos_stays_between_1_and_4_5(rating: float, score: float) -> None:
    assert opinion(rating) == score


@pytest.mark.parametrize(("ie", "score"), [(1, 4.49), (41, 3.51)])
def test_b33_wideband_impairments_of_g_113_appendix_iv_become_their_mos(ie: float, score: float) -> None:
    assert opinion((129 - ie) / 1.29) == pytest.approx(score, abs=0.01)


@pytest.mark.parametrize("delay", [0, 50, 100, 150, 200, 250, 300])
def test_b33_delay_costs_what_cole_and_rosenbluth_found_for_the_default_e_model(delay: float) -> None:
    published = 93.2 - 0.024 * delay - 0.11 * max(delay - 177.3, 0)
    assert mos("PCMU", 0.0, delay_ms=delay)[0] == pytest.approx(published, abs=1.0)


def test_b33_loss_costs_what_g_107_says_and_concealment_helps() -> None:
    rating, _ = mos("PCMU", 0.05)
    assert 93.2 - rating == pytest.approx(95 * 5 / (5 + 25.1), abs=0.05)
    assert effective_impairment(Impairment(0, 4.3, wideband=False), 5, 1) == pytest.approx(95 * 5 / 9.3)


def test_b33_losses_in_bursts_cost_more_than_scattered_ones() -> None:
    assert mos("PCMU", 0.05, 3.0)[0] == pytest.approx(93.2 - 95 * 5 / (5 / 3 + 25.1), abs=0.05)
    assert mos("PCMU", 0.05, 0.5) == mos("PCMU", 0.05, 1.0)


@pytest.mark.parametrize("codec", sorted(IMPAIRMENTS))
def test_b33_every_codec_gets_worse_with_loss_bursts_and_delay(codec: str) -> None:
    best, lossy, bursty, late = mos(codec, 0), mos(codec, 0.03), mos(codec, 0.03, 4), mos(codec, 0, 1, 400)
    assert best[1] > lossy[1] > bursty[1] > 1
    assert best[1] > late[1]
    assert best[1] > 4.3


def test_b33_a_wideband_rating_is_on_the_scale_up_to_129() -> None:
    rating, score = mos("G722", 0.0)
    assert rating == pytest.approx(129 - 13)
    assert score == pytest.approx(4.34, abs=0.01)
    assert mos("OPUS", 0.0)[0] > rating


@pytest.mark.parametrize(
    ("codec", "loss", "burst", "delay", "field"),
    [
        ("GSM", 0.0, 1.0, 0.0, "codec"),
        ("PCMA", 1.5, 1.0, 0.0, "loss_fraction"),
        ("PCMA", float("nan"), 1.0, 0.0, "loss_fraction"),
        ("PCMA", 0.1, float("inf"), 0.0, "burst_ratio"),
        ("PCMA", 0.1, 1.0, -1.0, "delay_ms"),
    ],
)
def test_b33_values_out_of_range_are_named(codec: str, loss: float, burst: float, delay: float, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        mos(codec, loss, burst, delay)


def played(there: NDArray[np.bool_]) -> LossBurst:
    """A tracker after there[ticks, rows]."""
    tracker = LossBurst(there.shape[1])
    for row in there:
        tracker.update(there.shape[1], row, np.zeros(there.shape[1], np.bool_))
    return tracker


def pattern(text: str) -> NDArray[np.bool_]:
    """One row: 1 a frame that was there, 0 a missing one."""
    return np.array([[char == "1"] for char in text])


def test_b33_losses_are_counted_with_the_bursts_they_come_in() -> None:
    tracker = played(pattern("1110111001110001"))
    assert (tracker.heard[0], tracker.lost[0], tracker.bursts[0]) == (10, 6, 3)
    assert tracker.loss_fraction(0) == pytest.approx(6 / 16)
    assert tracker.burst_ratio(0) == pytest.approx(2 * (1 - 6 / 16))


@pytest.mark.parametrize("loss", [0.02, 0.1, 0.3])
def test_b33_random_loss_has_the_burst_ratio_1(loss: float) -> None:
    there = np.random.default_rng(7).random((20000, 4)) >= loss
    tracker = played(there)
    assert tracker.loss_fraction(slice(None)) == pytest.approx([loss] * 4, rel=0.1)
    assert tracker.burst_ratio(slice(None)) == pytest.approx([1] * 4, abs=0.06)


def test_b33_loss_in_bursts_of_four_has_the_burst_ratio_that_says_so() -> None:
    assert played(pattern("1" + "0000" * 1 + "1" * 96)).burst_ratio(0) == pytest.approx(4 * (1 - 4 / 101))


def test_b33_a_far_side_that_pauses_or_has_not_begun_loses_nothing() -> None:
    tracker = played(pattern("0" * 10 + "1" * 5 + "0" * (PAUSE_TICKS + 1) + "1" * 5))
    assert (tracker.heard[0], tracker.lost[0], tracker.bursts[0]) == (10, 0, 0)
    assert tracker.burst_ratio(0) == 1
    assert played(pattern("1" + "0" * PAUSE_TICKS + "1")).lost[0] == PAUSE_TICKS


def test_b33_counts_stay_with_their_rows() -> None:
    tracker = played(np.array([[True, True], [True, False], [True, True]]))
    tracker.move(1, 0)
    tracker.reset(1)
    assert tracker.lost.tolist() == [1, 0]
    assert tracker.heard.tolist() == [2, 0]
