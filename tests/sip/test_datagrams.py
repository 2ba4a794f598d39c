"""The UDP socket on loopback, under both event loops we may run on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from sip.datagrams import Address, DatagramSocket

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


def run(loop: Callable[[], asyncio.AbstractEventLoop], work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(work)


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_port_that_is_not_there_is_reported_and_the_others_are_still_heard(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        failed: asyncio.Queue[Address] = asyncio.Queue()

        def receive(_: DatagramSocket, batch: list[tuple[bytes, Address]]) -> None:
            for data, _source in batch:
                heard.put_nowait(data)

        ours = DatagramSocket("127.0.0.1", 0, 1500, receive, failed.put_nowait)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, socket.socket(type=socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            nobody = gone.getsockname()
            gone.close()
            ours.start(asyncio.get_running_loop())
            for round_ in range(3):
                assert ours.send(b"hello", nobody)
                assert await asyncio.wait_for(failed.get(), 5) == nobody
                peer.sendto(b"%d" % round_, ("127.0.0.1", ours.port))
                assert await asyncio.wait_for(heard.get(), 5) == b"%d" % round_
        ours.close()

    run(loop, work())
