"""One mixer process as control sees it: started, spoken to, found out to be dead or hanging."""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from collections.abc import Callable, Sequence

import structlog

from mixer.protocol import Assume, Decoder, Message, Ping, Pong, ProtocolError, Ready, Shutdown, encode

log = structlog.get_logger(__name__)

PING_SECONDS = 0.25
HANG_SECONDS = 1.5
"""A mixer that has given no sign of life for so long is replaced (it pongs and ticks 50 times a second)."""
STOP_SECONDS = 2.0
START_SECONDS = 20.0


class MixerStartError(Exception):
    """The process did not come up."""


class MixerProcess:
    """A process of ``python -m mixer.process`` and the socket to it.

    It starts in waiting, with all lanes inherited and everything imported; ``assume`` gives it the lanes it is to
    serve.
    """

    def __init__(self, process: asyncio.subprocess.Process, writer: asyncio.StreamWriter) -> None:
        self.failure = ""
        self.handler: Callable[[Message], None] = lambda _: None
        """Takes what it reports."""
        self._process = process
        self._writer = writer
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = loop.create_future()
        self._heard = loop.time()
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def launch(cls, lanes: Sequence[socket.socket], options: Sequence[str]) -> MixerProcess:
        """Start a process that may later be given any of ``lanes``. Raises MixerStartError."""
        ours, theirs = socket.socketpair()
        fds = [theirs.fileno(), *(lane.fileno() for lane in lanes)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "mixer.process", *map(str, fds), *options,
            pass_fds=fds, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        mixer = cls(process, writer)
        mixer._tasks = [
            asyncio.create_task(mixer._read(reader), name="mixer reader"),
            asyncio.create_task(mixer._ping(), name="mixer ping"),
        ]
        try:
            await asyncio.wait_for(asyncio.shield(mixer._ready), START_SECONDS)
        except (TimeoutError, ConnectionError) as error:
            await mixer.stop()
            raise MixerStartError("the mixer process does not start") from error
        return mixer

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and not self.failure

    def assume(self, lanes: Sequence[int]) -> None:
        """Serve these lanes (places in the list given to launch) from now on."""
        self.tell(Assume(tuple(lanes)))

    def tell(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def lost(self) -> None:
        """Returns when the mixer is lost; the process is then certainly dead."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        await self._end()

    async def stop(self) -> None:
        """Ask it to end; kill it if it does not."""
        self.tell(Shutdown())
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.failure = "did not stop"
        await self._end()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._writer.close()
        if self._ready.done():
            self._ready.exception()  # told already

    async def _read(self, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        decoder = Decoder()
        try:
            while data := await reader.read(1 << 18):
                self._heard = loop.time()
                for message in decoder.feed(data):
                    if isinstance(message, Ready):
                        if not self._ready.done():
                            self._ready.set_result(None)
                    elif not isinstance(message, Pong):
                        self._handle(message)
            self.failure = self.failure or "its socket closed"
        except (ConnectionError, ProtocolError) as error:
            self.failure = str(error)
        if not self._ready.done():
            self._ready.set_exception(ConnectionError(self.failure))

    def _handle(self, message: Message) -> None:
        """What goes wrong here in taking one message is no fault of the mixer's, which must not be ended for it."""
        try:
            self.handler(message)
        except Exception:
            log.exception("mixer message not taken", message=type(message).__name__)

    async def _ping(self) -> None:
        """Ends when the mixer has given no sign of life for HANG_SECONDS."""
        loop = asyncio.get_running_loop()
        await self._ready
        self._heard = loop.time()
        for token in itertools.count():
            before = loop.time()
            self.tell(Ping(token))
            await asyncio.sleep(PING_SECONDS)
            overslept = loop.time() - before - PING_SECONDS
            self._heard += max(overslept, 0)  # when this process was held up, that is not the mixer's silence
            if loop.time() - self._heard > HANG_SECONDS:
                self.failure = f"no sign of life for {HANG_SECONDS} s"
                return
