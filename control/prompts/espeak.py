"""The speaking process: ``python -m control.prompts.espeak`` reads requests and writes sound, through espeak-ng.

A process of its own, because the library has one state for all threads, because a crash in it must not take the calls
down, and because it may be niced. It asks nothing of the rest of the server.

Protocol: on start one JSON line ``{"engine": "espeak-ng 1.52.0"}`` or ``{"error": "..."}``. Then for each JSON line
``{"voice", "rate", "level", "text"}`` on standard input one JSON line ``{"samples": n}``, followed by n int16 at
16 kHz, or ``{"error": "..."}``. The end of standard input ends the process.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import sys
from typing import Any, BinaryIO, Final

import numpy as np

from control.prompts.audiofile import resample
from control.prompts.sound import Pcm, at_level, trim

STRESS: Final = "\N{COMBINING ACUTE ACCENT}"
NICENESS: Final = 10

_AUDIO_OUTPUT_RETRIEVAL: Final = 1
_DONT_EXIT: Final = 0x8000
_RATE_PARAMETER: Final = 1
_POSITION_CHARACTER: Final = 1
_UTF8: Final = 1
_PHONEMES: Final = 0x100
"""[[...]] in the text are phoneme names."""
_NAMES: Final = ("libespeak-ng.so.1", "libespeak-ng.so")

_WORD: Final = re.compile(rf"[^\W\d_](?:[^\W\d_]|{STRESS}|['’](?=[^\W\d_]))*")
_VOWEL_LETTERS: Final = "аеёиоуыэюяіАЕЁИОУЫЭЮЯІaeiouyAEIOUY"
_VOWEL_PHONEMES: Final = re.compile(r'i"|[aAeEiIoOuUyV8@](?:#|")?')


class EspeakError(Exception):
    """espeak-ng cannot be loaded or cannot speak this."""


class _Voice(ctypes.Structure):
    """espeak_VOICE of speak_lib.h, as far as it is used to choose one."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """The library, one voice at a time. ``engine`` is its name and version."""

    def __init__(self) -> None:
        """Raises EspeakError when there is none."""
        self._library, data = _find()
        self._parts: list[bytes] = []
        self._callback = _Callback(self._collect)
        self._rate = self._library.espeak_Initialize(_AUDIO_OUTPUT_RETRIEVAL, 0, data, _DONT_EXIT)
        if self._rate <= 0:
            raise EspeakError("espeak-ng does not find its data")
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_Info.restype = ctypes.c_char_p
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library.espeak_TextToPhonemes.argtypes = (ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int)
        self.engine = f"espeak-ng {self._library.espeak_Info(None).decode().split()[0]}"

    def speak(self, text: str, voice: str, words_per_minute: int) -> Pcm:
        """int16[n] at 16 kHz; ``[[...]]`` in the text are names of sounds. Raises EspeakError."""
        self._choose(voice)
        self._library.espeak_SetParameter(_RATE_PARAMETER, words_per_minute, 0)
        self._parts.clear()
        spoken = _WORD.sub(lambda match: self.stressed(match[0]), text).encode()
        flags = _UTF8 | _PHONEMES
        size = ctypes.c_size_t(len(spoken) + 1)
        failed = self._library.espeak_Synth(spoken, size, 0, _POSITION_CHARACTER, 0, flags, None, None)
        failed = failed or self._library.espeak_Synchronize()
        if failed:
            raise EspeakError(f"espeak-ng failed with code {failed}")
        pcm = np.frombuffer(b"".join(self._parts), np.int16)
        if not len(pcm):
            raise EspeakError("espeak-ng made no sound of the text")
        return resample(pcm, self._rate)

    def phonemes(self, word: str) -> str:
        """espeak-ng's own names for the sounds of a word in the voice chosen."""
        pointer = ctypes.c_char_p(word.encode())
        return str(self._library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, 0).decode())

    def _choose(self, voice: str) -> None:
        if self._library.espeak_SetVoiceByName(voice.encode()) == 0:
            return
        wanted = _Voice(languages=voice.encode())
        if self._library.espeak_SetVoiceByProperties(ctypes.byref(wanted)) != 0:
            raise EspeakError(f"espeak-ng has no voice {voice}")

    def stressed(self, word: str) -> str:
        """A word with its stress marked, as phonemes of the voice chosen; espeak-ng itself overlooks the mark.

        Where letters and sounds do not correspond one to one, the word is spoken as espeak-ng sees fit.
        """
        if STRESS not in word:
            return word
        plain = word.replace(STRESS, "")
        place = sum(letter in _VOWEL_LETTERS for letter in word[: word.index(STRESS)])
        names = re.sub("[',]", "", self.phonemes(plain)).strip()
        vowels = list(_VOWEL_PHONEMES.finditer(names))
        if place == 0 or len(vowels) != sum(letter in _VOWEL_LETTERS for letter in plain) or " " in names:
            return plain
        at = vowels[place - 1].start()
        return f"[[{names[:at]}'{names[at:]}]]"

    def _collect(self, samples: Any, count: int, _events: object) -> int:
        if samples and count:
            self._parts.append(ctypes.string_at(samples, 2 * count))
        return 0


def _find() -> tuple[ctypes.CDLL, bytes | None]:
    """The library and its data folder: that of the package espeakng-loader, else the system's."""
    reasons = []
    if importlib.util.find_spec("espeakng_loader") is not None:
        import espeakng_loader

        try:
            return ctypes.CDLL(espeakng_loader.get_library_path()), espeakng_loader.get_data_path().encode()
        except (OSError, RuntimeError) as error:
            reasons.append(f"espeakng-loader: {error}")
    for name in _NAMES:
        try:
            return ctypes.CDLL(name), None
        except OSError as error:
            reasons.append(str(error))
    raise EspeakError("; ".join(reasons))


def main() -> None:
    os.nice(NICENESS)
    requests = sys.stdin.buffer
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # espeak-ng writes warnings to standard output
    try:
        espeak = Espeak()
    except EspeakError as error:
        _reply(replies, {"error": str(error)})
        return
    _reply(replies, {"engine": espeak.engine})
    for line in requests:
        request = json.loads(line)
        try:
            pcm = espeak.speak(request["text"], request["voice"], request["rate"])
        except EspeakError as error:
            _reply(replies, {"error": str(error)})
        else:
            pcm = at_level(trim(pcm), request["level"])
            _reply(replies, {"samples": len(pcm)}, pcm.tobytes())


def _reply(replies: BinaryIO, header: dict[str, object], sound: bytes = b"") -> None:
    replies.write(json.dumps(header).encode() + b"\n" + sound)
    replies.flush()


if __name__ == "__main__":
    main()
