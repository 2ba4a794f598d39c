"""How long a sound takes through a server: leg 0 says a burst of 40 ms every second, leg 1 notes when it hears it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np

from benchmarks.phones import Heard
from benchmarks.streams import Format, decode
from benchmarks.tones import BURST_AMPLITUDE, BURST_HZ

STEP = 0.005
"""Seconds the burst's begin is found to."""
LONGEST = 0.7
"""Seconds after which a burst is given up."""
FAINT = 0.2
"""Part of the burst's amplitude that has to be heard."""


def delay_ms(windows: Sequence[Heard], form: Format) -> float | None:
    """Median milliseconds from the sending of the packet with the burst's begin to the coming of the one in which it is
    heard, plus where in that packet it is; None when none was heard. ``form``: what leg 1 hears."""
    found = [delay for heard in windows for delay in _delays(heard, form)]
    return round(median(found) * 1000, 1) if found else None


def _delays(heard: Heard, form: Format) -> list[float]:
    if not heard.watched:
        return []
    size = round(STEP * form.rate)
    pcm = decode(form, [payload for _, payload in heard.watched])
    probe = np.exp(-2j * np.pi * BURST_HZ * np.arange(size) / form.rate) * (2 / size)
    loud = np.abs(pcm.reshape(-1, size) @ probe)
    packet = np.array([came for came, _ in heard.watched])
    steps = form.frame // size
    came = (packet[:, None] + np.arange(steps) * STEP).ravel()
    delays = []
    for sent in heard.first_sent:
        near = (came > sent - STEP) & (came < sent + LONGEST)
        if near.any() and loud[near].max() > FAINT * BURST_AMPLITUDE:
            first = np.flatnonzero(near & (loud > loud[near].max() / 2))[0]
            delays.append(float(came[first] - sent))
    return delays
