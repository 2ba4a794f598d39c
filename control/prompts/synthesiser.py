"""The speaking process as the server sees it: one request at a time, started when needed, ended when idle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from control.config import ROOT
from control.prompts.sound import Pcm

COMMAND: Final = (sys.executable, "-m", "control.prompts.espeak")
IDLE_SECONDS: Final = 60.0
TIMEOUT_SECONDS: Final = 60.0


class SpeechError(Exception):
    """Nothing can be spoken, or not this."""


class Synthesiser:
    """espeak-ng in a process. ``engine`` is its name and version after the first ``start()``."""

    def __init__(self, command: Sequence[str] = COMMAND, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self.engine = ""
        self._command = command
        self._idle_seconds = idle_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._idle: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Find out whether it can speak, and its ``engine``. Raises SpeechError."""
        await asyncio.shield(self._in_turn(None))

    async def speak(self, text: str, *, voice: str, rate: int, level_dbov: float) -> Pcm:
        """int16[n] at 16 kHz with that active level, without silence at its ends. Raises SpeechError."""
        request = {"text": text, "voice": voice, "rate": rate, "level": level_dbov}
        # Shielded: who waits may hang up, but question and answer must stay together.
        pcm = await asyncio.shield(self._in_turn(request))
        if not len(pcm):
            raise SpeechError("nothing was heard of the text")
        return pcm

    async def close(self) -> None:
        async with self._turn:
            await self._end()

    async def _in_turn(self, request: dict[str, Any] | None) -> Pcm:
        async with self._turn:
            if self._idle is not None:
                self._idle.cancel()
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return await self._exchange(request)
            except TimeoutError as error:
                await self._end()
                raise SpeechError("the speaking process does not answer") from error
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                await self._end()
                raise SpeechError("the speaking process has ended unexpectedly") from error
            finally:
                loop = asyncio.get_running_loop()
                self._idle = loop.call_later(self._idle_seconds, self._end_if_idle)

    async def _exchange(self, request: dict[str, Any] | None) -> Pcm:
        process = self._process
        if process is None or process.returncode is not None:
            process = await self._launch()
        if request is None:
            return np.zeros(0, np.int16)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
        samples = int(await self._answer(process, "samples"))
        return np.frombuffer(await process.stdout.readexactly(2 * samples), np.int16)

    async def _launch(self) -> asyncio.subprocess.Process:
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        # A session of its own: Ctrl-C is for the server, which then closes this one's standard input.
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=null, cwd=ROOT, start_new_session=True
        )
        self._process = process
        self.engine = await self._answer(process, "engine")
        return process

    async def _answer(self, process: asyncio.subprocess.Process, field: str) -> str:
        assert process.stdout is not None
        line = await process.stdout.readuntil(b"\n")
        answer = json.loads(line)
        if "error" in answer:
            raise SpeechError(answer["error"])
        return str(answer[field])

    def _end_if_idle(self) -> None:
        if not self._turn.locked() and self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process = None

    async def _end(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
