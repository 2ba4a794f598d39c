"""The delay through a server is found from when a burst was sent and when it was heard."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.delay import delay_ms
from benchmarks.phones import Heard
from benchmarks.streams import FORMATS, encode
from benchmarks.tones import burst

SENT = 1000.0


def _heard(codec: str, delay: float) -> Heard:
    """Three seconds of a phone that hears each burst ``delay`` seconds later, in packets on a grid of 20 ms."""
    form = FORMATS[codec]
    pcm = np.tile(np.roll(burst(form.rate), round(delay * form.rate) % (form.rate // 50)), 3)
    packets = encode(form, pcm).payloads
    begin = SENT + delay // 0.02 * 0.02
    heard = Heard(150, np.zeros(0, np.bool_), np.zeros(0, np.uint8), np.zeros(0, np.int16), np.zeros(0))
    heard.first_sent = [SENT, SENT + 1, SENT + 2]
    heard.watched = [(begin + at * 0.02, payload) for at, payload in enumerate(packets)]
    return heard


@pytest.mark.parametrize("codec", ["PCMU", "G722", "OPUS"])
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.035, 0.21])
def test_a_burst_is_found_to_within_the_codec_and_a_step(codec: str, delay: float) -> None:
    assert delay_ms([_heard(codec, delay)], FORMATS[codec]) == pytest.approx(delay * 1000, abs=12)


def test_silence_has_no_delay() -> None:
    heard = _heard("PCMU", 0.02)
    heard.watched = [(at, b"\xff" * 160) for at, _ in heard.watched]
    assert delay_ms([heard], FORMATS["PCMU"]) is None
