"""G.711 as tables: 8-bit codes to linear samples and back (ITU-T G.711 (11/88), tables 1a-2b).

Row 0 of every table is PCMU (mu-law), row 1 PCMA (A-law, even bits inverted as on the wire). Linear samples are in
int16 scale: mu-law's 14-bit and A-law's 13-bit values shifted left by 2 and 3. A sample that lies exactly on a decision
value goes to the interval farther from zero when positive and nearer to zero when negative, as in the reference of
ITU-T G.191.

    linear = DECODE[law][codes]                        # float32, codes uint8
    codes = ENCODE[law][samples.view(np.uint16)]       # samples int16
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

PCMU: Final = 0
PCMA: Final = 1


def _magnitudes() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Output values and lower interval edges [law, segment * 16 + step], int16 scale."""
    segment, step = np.divmod(np.arange(128, dtype=np.int32), 16)
    output = np.empty((2, 128), np.int32)
    edge = np.empty((2, 128), np.int32)
    # mu-law: a bias of 33 (of 14 bits) makes every segment twice as long as the one before.
    output[PCMU] = ((2 * step + 33) << (segment + 2)) - 132
    edge[PCMU] = np.maximum(((step + 16) << (segment + 3)) - 132, 0)
    # A-law: the first two segments have the same step.
    shift = np.maximum(segment, 1) + 3
    leading = np.where(segment > 0, 16, 0)
    edge[PCMA] = (step + leading) << shift
    output[PCMA] = edge[PCMA] + (1 << (shift - 1))
    return output, edge


def _wire_codes() -> NDArray[np.uint8]:
    """Code [law, sign (0 positive, 1 negative), magnitude] with the sign bit and the law's bit inversions."""
    magnitude = np.arange(128)
    return np.array(
        [[0xFF ^ magnitude, 0x7F ^ magnitude], [0xD5 ^ magnitude, 0x55 ^ magnitude]],
        np.uint8,
    )


def _decode_table() -> NDArray[np.float32]:
    output, _ = _magnitudes()
    table = np.empty((2, 256), np.float32)
    for law in (PCMU, PCMA):
        positive, negative = _wire_codes()[law]
        table[law, positive] = output[law]
        table[law, negative] = -output[law]
    table += 0.0  # mu-law's negative zero becomes a plain one
    return table


def _encode_table() -> NDArray[np.uint8]:
    _, edge = _magnitudes()
    sample = np.arange(65536, dtype=np.uint16).view(np.int16)
    sign = (sample < 0).astype(np.intp)
    magnitude = np.where(sample < 0, ~sample, sample)
    codes = _wire_codes()
    table = np.empty((2, 65536), np.uint8)
    for law in (PCMU, PCMA):
        table[law] = codes[law, sign, np.searchsorted(edge[law], magnitude, side="right") - 1]
    return table


DECODE: Final = _decode_table()
"""float32[2, 256]: sample of a code."""

ENCODE: Final = _encode_table()
"""uint8[2, 65536]: code of an int16 sample, indexed by the sample viewed as uint16."""

TRANSCODE: Final = np.stack([ENCODE[1 - law][DECODE[law].astype(np.int16).view(np.uint16)] for law in (PCMU, PCMA)])
"""uint8[2, 256]: row 0 makes PCMA of PCMU, row 1 PCMU of PCMA; the same as decoding and encoding again."""

SILENCE: Final = np.array([0xFF, 0xD5], np.uint8)
"""uint8[2]: the code of the sample nearest zero."""

for _table in (DECODE, ENCODE, TRANSCODE, SILENCE):
    _table.setflags(write=False)
