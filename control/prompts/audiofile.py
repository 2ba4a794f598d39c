"""Sound files in and out: any format PyAV reads becomes 16 kHz mono; WAV is written."""

from __future__ import annotations

import os
import tempfile
import wave
from pathlib import Path

import av
import av.error
import numpy as np

from control.prompts.sound import RATE, Pcm


class AudioFileError(Exception):
    """A sound file cannot be used; ``str()`` names the file and the reason."""


def resample(pcm: Pcm, rate: int) -> Pcm:
    """Mono sound of another rate, at 16 kHz."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    parts = [_samples(part) for part in [*resampler.resample(frame), *resampler.resample(None)]]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _samples(frame: av.AudioFrame) -> Pcm:
    return frame.to_ndarray().reshape(-1).astype(np.int16)


def read(path: Path, longest_seconds: float) -> Pcm:
    """int16[n] at 16 kHz, mono, of any sound file; what is longer is cut off. Raises AudioFileError."""
    parts: list[Pcm] = []
    samples = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioFileError(f"{path}: no sound in it")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            for frame in container.decode(container.streams.audio[0]):
                frame.pts = None
                for part in resampler.resample(frame):
                    parts.append(_samples(part))
                    samples += parts[-1].size
                if samples >= longest_seconds * RATE:
                    break
            parts.extend(map(_samples, resampler.resample(None)))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise AudioFileError(f"{path}: not a sound file that can be read: {error}") from error
    if not samples:
        raise AudioFileError(f"{path}: no sound in it")
    return np.concatenate(parts)[: round(longest_seconds * RATE)]


def read_wav(path: Path) -> Pcm | None:
    """What write_wav() wrote; None when there is no such file or it is damaged."""
    try:
        with wave.open(str(path), "rb") as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE):
                return None
            expected = file.getnframes()
            pcm = np.frombuffer(file.readframes(expected), "<i2").astype(np.int16)
            return pcm if len(pcm) == expected and expected else None
    except (OSError, EOFError, wave.Error):
        return None


def write_wav(path: Path, pcm: Pcm) -> None:
    """Write it whole or not at all, whoever else writes the same file. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(pcm.astype("<i2").tobytes())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
