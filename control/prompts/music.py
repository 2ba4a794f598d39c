"""Music on hold: the operator's files, or a quiet built-in loop.

The loop is composed here from sines, so that no recording and no licence is needed: four soft chords of eight seconds
with a sparse bell voice above. Every note is written into a ring as long as the loop, so its end joins its beginning
without a seam. All of it lies between 190 Hz and 2.5 kHz, where telephones hear.
"""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from control.prompts.audiofile import AudioFileError, read
from control.prompts.sound import RATE, Clip, Wave, at_level, faded, trim

LEVEL_DBOV: Final = -34.0
LONGEST_SECONDS: Final = 600
"""Of a file; the rest is not played."""
MOST_FILES: Final = 20

_CHORD_SECONDS: Final = 8.0
_CHORDS: Final = ((48, 55, 64, 71), (45, 57, 60, 67), (53, 57, 64, 69), (55, 59, 62, 69))
"""C major seventh, A minor seventh, F major seventh, G with a ninth; MIDI notes, an octave below where they sound."""
_BELLS: Final = (
    (1.0, 76), (3.0, 79), (5.0, 83), (9.0, 84), (11.5, 79), (13.0, 76), (17.0, 77), (19.0, 81), (21.0, 84), (25.0, 83),
    (26.5, 79), (28.0, 74), (30.0, 79),
)  # fmt: skip
"""(seconds, MIDI note)."""

log = structlog.get_logger(__name__)


@cache
def built_in(level_dbov: float = LEVEL_DBOV) -> Clip:
    """The loop: 32 seconds to be played over and over."""
    ring: Wave = np.zeros(round(len(_CHORDS) * _CHORD_SECONDS * RATE))
    for index, chord in enumerate(_CHORDS):
        for note in chord:
            for cents in (-4.0, 4.0):
                _add(ring, index * _CHORD_SECONDS - 1.0, _pad(_hertz(note + 12 + cents / 100)))
    for start, note in _BELLS:
        _add(ring, start, 0.35 * _bell(_hertz(note)))
    return Clip("music/built-in", at_level(ring, level_dbov))


async def load(folder: Path, level_dbov: float = LEVEL_DBOV) -> list[Clip]:
    """The sound files of a folder in order of their names, at one level; the built-in loop when there is none.

    Files that cannot be read are told in the log and left out.
    """
    return await asyncio.to_thread(_load, folder, level_dbov)


def _load(folder: Path, level_dbov: float) -> list[Clip]:
    files = sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))
    if len(files) > MOST_FILES:
        log.warning("only some of the music is played", folder=str(folder), files=len(files), most=MOST_FILES)
    clips = []
    for path in files[:MOST_FILES]:
        try:
            pcm = trim(read(path, LONGEST_SECONDS))
        except AudioFileError as error:
            log.warning("music left out", reason=str(error))
            continue
        if len(pcm):
            clips.append(Clip(f"music/{path.name}", faded(at_level(pcm, level_dbov), 0.05)))
        else:
            log.warning("music left out", reason=f"{path}: nothing but silence")
    return clips or [built_in(level_dbov)]


def _hertz(note: float) -> float:
    return float(440.0 * 2 ** ((note - 69) / 12))


def _pad(hertz: float) -> Wave:
    """A soft voice: slow attack, three partials, as long as a chord and a second on either side."""
    time = np.arange(round((_CHORD_SECONDS + 2.0) * RATE)) / RATE
    swell = np.minimum(1.0, np.minimum(time / 2.5, time[::-1] / 2.5))
    tremble = 1 + 0.12 * np.sin(2 * np.pi * 0.25 * time)
    partials = sum((np.sin(2 * np.pi * hertz * k * time) / k**2 for k in (1, 2, 3)), np.zeros(len(time)))
    pad: Wave = partials * np.sin(np.pi / 2 * swell) ** 2 * tremble
    return pad


def _bell(hertz: float) -> Wave:
    """A struck voice that rings out in three seconds."""
    time = np.arange(3 * RATE) / RATE
    envelope = np.minimum(1.0, time / 0.02) * np.exp(-time / 0.7) * np.minimum(1.0, time[::-1] / 0.5)
    strike = 0.25 * np.exp(-time / 0.2) * np.sin(4 * np.pi * hertz * time)
    bell: Wave = envelope * (np.sin(2 * np.pi * hertz * time) + strike)
    return bell


def _add(ring: Wave, start: float, wave: Wave) -> None:
    """Add a note at so many seconds; what goes over the end sounds at the beginning."""
    at = round(start * RATE) % len(ring)
    places = (at + np.arange(len(wave))) % len(ring)
    np.add.at(ring, places, wave)
