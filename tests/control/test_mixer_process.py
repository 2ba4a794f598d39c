"""What control does with what a mixer process reports."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

from control.mixer_process import MixerProcess
from mixer.protocol import Digit, Message, Ready, encode


async def test_a_report_that_control_stumbles_over_does_not_cost_the_mixer_its_life() -> None:
    """Mocks stand for the process and its socket only, which this does not touch."""
    mixer = MixerProcess(Mock(), Mock())
    taken: list[Message] = []

    def handler(message: Message) -> None:
        taken.append(message)
        if len(taken) == 1:
            raise KeyError("a defect of control's")

    mixer.handler = handler
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(map(encode, (Ready(1), Digit("leg", "5", 100), Digit("leg", "6", 100)))))
    reader.feed_eof()
    await mixer._read(reader)
    assert [message.digit for message in taken if isinstance(message, Digit)] == ["5", "6"]
