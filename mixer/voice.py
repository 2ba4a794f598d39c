"""From payloads to samples: G.711 of all legs by table, lost frames concealed, delay given back in pauses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .conceal import Concealer
from .g711 import DECODE, ENCODE, PCMA, PCMU
from .legs import G722, SAMPLES_8K, Legs
from .mix import to_int16
from .playout import Playout
from .table import Columns

CONCEAL_FRAMES = 3
"""A loss longer than 60 ms is silence (ITU-T G.711 Appendix I)."""
MAX_CONCEALED = 256
"""Rows a tick; when more lose a frame at once, it is this machine that is late, and it must not become later."""
_HISTORY = 3

Float = NDArray[np.float32]
Int = NDArray[np.int64]


@dataclass(slots=True)
class VoicePlan:
    """Which law most legs have, and the rows that differ."""

    law: int = PCMU
    other: Int = field(default_factory=lambda: np.zeros(0, np.int64))


def plan_voice(legs: Legs) -> VoicePlan:
    codec = legs.codec[: legs.count]
    law = PCMA if np.count_nonzero(codec == PCMA) > np.count_nonzero(codec == PCMU) else PCMU
    return VoicePlan(law, np.flatnonzero(codec == (PCMA if law == PCMU else PCMU)))


class Voices(Columns):
    """Samples of every leg's current frame: ``pcm`` float32[capacity, 160] at 8 kHz in int16 scale, G.711 rows only.

    ``energy`` float32[capacity]: mean square of the frame, whatever the codec.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.pcm: Float = np.zeros((capacity, SAMPLES_8K), np.float32)
        self.energy: Float = np.zeros(capacity, np.float32)
        self._gap: NDArray[np.bool_] = self.column(bool)
        """The row's last frame was concealed."""
        self._concealer = Concealer(capacity, 8000)

    def reset(self, row: int) -> None:
        super().reset(row)
        self._concealer.reset(row)

    def move(self, src: int, dst: int) -> None:
        super().move(src, dst)
        self._concealer.move(src, dst)

    def decode(
        self, plan: VoicePlan, legs: Legs, playout: Playout, audible: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Play one frame of every row; returns payloads and presence for the codecs that are decoded elsewhere.

        ``audible``: bool[count], rows that were in the mix; in the silence of the others nothing is worth concealing.
        """
        count = legs.count
        payload, there = playout.take(count)
        pcm = self.pcm[:count]
        DECODE[plan.law].take(payload, out=pcm, mode="clip")
        if len(plan.other):
            pcm[plan.other] = DECODE[1 - plan.law][payload[plan.other]]
        gap = self._gap[:count]
        if gap.any():
            back = np.flatnonzero(gap & there)
            if len(back):
                pcm[back] = self._concealer.resume(back, pcm[back])
            gap[back] = False
        if not there.all():
            self._fill(np.flatnonzero(~there), legs, playout, audible)
        np.einsum("ij,ij->i", pcm, pcm, out=self.energy[:count])
        self.energy[:count] /= SAMPLES_8K
        return payload, there

    def shorten(self, rows: Int, legs: Legs, playout: Playout) -> None:
        """Rows that talk all the time give a frame back too: the current and the next frame become one, cross-faded."""
        following, there = playout.peek(rows)
        rows, following = rows[there], following[there]
        if not len(rows):
            return
        fade = np.linspace(0, 1, SAMPLES_8K, dtype=np.float32)
        coming = np.where((legs.codec[rows] == PCMA)[:, None], DECODE[PCMA][following], DECODE[PCMU][following])
        self.pcm[rows] += (coming - self.pcm[rows]) * fade
        playout.skip(rows)

    def _fill(self, gone: Int, legs: Legs, playout: Playout, audible: NDArray[np.bool_]) -> None:
        """No frame for these rows: silence, or for the first 60 ms of a loss what the voice would have gone on as."""
        self.pcm[gone] = 0
        missing = playout.missing[gone]
        lost = playout.started[gone] & (missing <= CONCEAL_FRAMES) & ~legs.key_held[gone]
        rows = gone[lost & audible[gone] & (legs.codec[gone] < G722)][:MAX_CONCEALED]
        if not len(rows):
            return
        alaw = (legs.codec[rows] == PCMA)[:, None]
        past = np.concatenate([playout.played(rows, back) for back in range(_HISTORY, 0, -1)], axis=1)
        history = np.where(alaw, DECODE[PCMA][past], DECODE[PCMU][past])
        frames = self._concealer.conceal(rows, history)
        self.pcm[rows] = frames
        codes = to_int16(frames).view(np.uint16)
        playout.replace(rows, np.where(alaw, ENCODE[PCMA][codes], ENCODE[PCMU][codes]))
        self._gap[rows] = True
