"""Recordings as files: Ogg/Opus (RFC 7845) and WAV, mono, which can be played however their writing ends.

Both write about once a second, whole pages or samples with a header that tells their number; what a failed write left
behind is cut off. OSError of the disk comes out of every method as it is.
"""

from __future__ import annotations

import contextlib
import os
import wave
from collections.abc import Callable
from fractions import Fraction
from typing import Final, Protocol, cast

import av
import numpy as np
from numpy.typing import NDArray

RATES: Final = (8000, 16000, 48000)
BITRATE: Final = {8000: 20_000, 16000: 28_000, 48000: 40_000}
COMPLEXITY: Final = 5
PAGE_MICROSECONDS: Final = 500_000
"""FFmpeg holds the newest page back: a page of half a second is on its way to the disk within one."""
_LACING: Final = 3
"""Bytes of Ogg for each packet besides it, its share of the page's header included."""
WAV_SECONDS: Final = 0.5
"""Samples written at once."""
WAV_MAX_BYTES: Final = (1 << 32) - (1 << 20)
"""A WAV header cannot tell of more."""

Samples = NDArray[np.int16]


class Sink(Protocol):
    """A file that is being recorded."""

    max_bytes: int
    """The format holds no more; 0 for no limit."""

    @property
    def size(self) -> int:
        """Bytes so far, those on their way to the file included."""

    def write(self, frame: Samples) -> None:
        """The next 20 ms. Raises OSError."""

    def close(self) -> None:
        """Finish the file and have it on the disk. Raises OSError."""

    def abandon(self) -> None:
        """After an error: leave the file as well as it can be, and none if nothing was written."""


class _File:
    """Written at its end only, whole pieces or nothing; once ``dead`` it takes everything and writes nothing."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115 closed by close()
        self.size = 0
        self.dead = False

    def write(self, data: bytes) -> int:
        if self.dead:
            return len(data)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[cast("int", self._file.write(rest)) :]
        except OSError:
            self.dead = True
            raise
        self.size = max(self.size, self._file.tell())
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        with self._file:
            os.fsync(self._file.fileno())

    def abandon(self) -> None:
        self.dead = True
        with contextlib.suppress(OSError), self._file:
            os.ftruncate(self._file.fileno(), self.size)
            if not self.size:
                os.unlink(self._file.name)


class OpusFile:
    """Ogg/Opus through PyAV."""

    max_bytes = 0

    def __init__(self, path: str, rate: int) -> None:
        self._file = _File(path)
        self._encoded = 0
        """Bytes of Ogg that the packets so far take, about; the newest pages have not come out yet."""
        options = {"page_duration": str(PAGE_MICROSECONDS)}
        self._container = av.open(_Stream(self._file.write), "w", format="ogg", options=options)
        stream = self._container.add_stream("libopus", rate=rate)
        stream.options = {"application": "audio", "frame_duration": "20", "compression_level": str(COMPLEXITY)}
        stream.layout = "mono"
        stream.format = "s16"
        stream.bit_rate = BITRATE[rate]
        self._stream = stream
        self._input = av.AudioFrame(format="s16", layout="mono", samples=rate // 50)
        self._input.sample_rate = rate
        self._input.time_base = Fraction(1, rate)
        self._input.pts = -rate // 50
        try:
            self._container.start_encoding()
        except OSError:
            self.abandon()
            raise

    @property
    def size(self) -> int:
        return max(self._file.size, self._encoded)

    def write(self, frame: Samples) -> None:
        self._input.planes[0].update(frame.tobytes())
        assert self._input.pts is not None
        self._input.pts += len(frame)
        for packet in self._stream.encode(self._input):
            self._encoded += packet.size + _LACING
            self._container.mux(packet)

    def close(self) -> None:
        if self._input.pts is not None and self._input.pts < 0:  # a stream without any frame could not be played
            self.write(np.zeros(self._input.samples, np.int16))
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._encoded = 0
        self._file.close()

    def abandon(self) -> None:
        self._file.abandon()
        self._encoded = 0
        with contextlib.suppress(Exception):
            self._container.close()


class _Stream:
    """What FFmpeg writes to, with nothing to seek with: an Ogg file is a stream."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self.write = write


class WavFile:
    """16-bit PCM. The header is set right with every write."""

    max_bytes = WAV_MAX_BYTES

    def __init__(self, path: str, rate: int) -> None:
        self._file = _File(path)
        self._wave = wave.open(cast("str", self._file), "wb")  # noqa: SIM115 closed by close()
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(rate)
        self._most = int(rate * WAV_SECONDS)
        self._waiting: list[Samples] = []
        self._samples = 0

    @property
    def size(self) -> int:
        return self._file.size + 2 * self._samples

    def write(self, frame: Samples) -> None:
        self._waiting.append(frame)
        self._samples += len(frame)
        if self._samples >= self._most:
            self._write_out()

    def close(self) -> None:
        self._write_out()
        self._wave.close()
        self._file.close()

    def abandon(self) -> None:
        self._file.abandon()
        self._samples = 0
        with contextlib.suppress(Exception):
            self._wave.close()

    def _write_out(self) -> None:
        data = np.concatenate([np.zeros(0, np.int16), *self._waiting]).astype("<i2").tobytes()
        self._waiting.clear()
        self._samples = 0
        self._wave.writeframes(data)


FORMATS: Final[dict[str, Callable[[str, int], Sink]]] = {"opus": OpusFile, "wav": WavFile}


def open_sink(path: str, kind: str, rate: int) -> Sink:
    """A new file; there must be none yet. Raises OSError, and ValueError for a format or rate that is not known."""
    if kind not in FORMATS:
        raise ValueError(f"format: {kind!r} is none of {', '.join(FORMATS)}")
    if rate not in RATES:
        raise ValueError(f"rate: {rate} is none of {', '.join(map(str, RATES))}")
    return FORMATS[kind](path, rate)
