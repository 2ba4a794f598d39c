"""Short tones: somebody comes or goes, knocks, is recorded, runs out of time; and what stands for unspoken prompts.

One frequency at a time, so that no telephone or keypad detector takes them for a key, from 400 Hz to 1400 Hz, so that
every codec carries them. Soft edges: nothing clicks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from control.prompts.sound import RATE, Clip, Wave, to_pcm

EDGE_SECONDS: Final = 0.012


@dataclass(frozen=True, slots=True)
class _Note:
    hertz: float
    seconds: float
    level_dbov: float
    rest: float = 0.0
    decay: float = 0.0
    """Seconds in which it falls to a third; 0: it does not."""


_TONES: Final[dict[str, tuple[_Note, ...]]] = {
    "entry": (_Note(523.25, 0.11, -24, 0.02), _Note(783.99, 0.2, -24)),
    "exit": (_Note(783.99, 0.11, -24, 0.02), _Note(523.25, 0.2, -24)),
    "knock": tuple(_Note(440.0, 0.13, -22, 0.09, decay=0.04) for _ in range(3)),
    "record": (_Note(1400.0, 0.4, -24),),
    "warning": tuple(_Note(880.0, 0.15, -22, 0.15) for _ in range(3)),
    "speak": (_Note(1000.0, 0.35, -22),),
    "attention": (_Note(587.33, 0.16, -24, 0.03), _Note(739.99, 0.16, -24, 0.03), _Note(880.0, 0.32, -24)),
    "ask": (_Note(659.25, 0.15, -24, 0.05), _Note(659.25, 0.15, -24)),
    "done": (_Note(880.0, 0.12, -24),),
    "refused": (_Note(440.0, 0.25, -24, 0.05), _Note(415.3, 0.4, -24)),
}
"""``record`` is the 1400 Hz notice of recording in use on telephones, ``speak`` the tone after which one talks;
``ask``, ``done`` and ``refused`` stand for prompts that cannot be spoken."""

NAMES: Final = tuple(_TONES)

_ASKING: Final = (
    "enter-", "name-record", "name-choice", "language-offer", "invited", "invite-enter", "try-again", "poll-",
)  # fmt: skip
_REFUSING: Final = (
    "wrong", "unknown", "invalid", "refused", "failed", "full", "locked", "ended", "not-", "none", "no-", "blocked",
    "too-many", "unavailable", "kicked", "over", "busy", "rejected", "unreachable", "network", "forbidden",
    "unsupported", "already", "cleared",
)  # fmt: skip


@cache
def tone(name: str) -> Clip:
    """One of NAMES."""
    notes = _TONES[name]
    waves = [part for note in notes for part in (_play(note), np.zeros(round(note.rest * RATE)))]
    return Clip(f"tone/{name}", to_pcm(np.concatenate(waves)))


def instead_of(key: str) -> Clip:
    """What is heard in place of a prompt that cannot be spoken: a question, a refusal, or that something is done."""
    if key.startswith(_ASKING):
        return tone("ask")
    return tone("refused" if any(part in key for part in _REFUSING) else "done")


def _play(note: _Note) -> Wave:
    time = np.arange(round(note.seconds * RATE)) / RATE
    envelope = np.minimum(1.0, np.minimum(time, time[::-1]) / EDGE_SECONDS)
    envelope = 0.5 - 0.5 * np.cos(np.pi * envelope)
    if note.decay:
        envelope = envelope * np.exp(-time / note.decay)
    wave: Wave = np.sin(2 * np.pi * note.hertz * time) * envelope
    wave *= 32768 * 10 ** (note.level_dbov / 20) / np.sqrt(np.mean(wave**2))
    return wave
