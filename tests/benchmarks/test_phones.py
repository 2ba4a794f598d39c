"""The benchmark's phones send what they should and count what they hear, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.phones import PhoneBank
from benchmarks.streams import FORMATS, Stream

PHONES = 12
SILENT = 5
"""The phone that the echo never answers."""


@pytest.fixture
def bank() -> Iterator[PhoneBank]:
    streams = [Stream(FORMATS["PCMU"], (bytes([phone]) * 160,)) for phone in range(PHONES)]
    bank = PhoneBank(PHONES, streams, np.arange(PHONES), watch=2)
    yield bank
    bank.close()


@pytest.fixture
def echo(bank: PhoneBank) -> Iterator[tuple[str, int]]:
    """Sends every packet back where it came from, every tenth one of phone 3 not at all, each of phone 4 twice."""
    silent = bank.address(SILENT)

    def serve(sock: socket.socket) -> None:
        while packet := sock.recvfrom(2048)[0:2]:
            data, source = packet
            if not data:
                return
            dropped = data[12] == 3 and int.from_bytes(data[2:4], "big") % 10 == 0
            if source != silent and not dropped:
                for _ in range(2 if data[12] == 4 else 1):
                    sock.sendto(data, source)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server = threading.Thread(target=serve, args=(sock,))
        server.start()
        yield sock.getsockname()
        sock.sendto(b"", sock.getsockname())
        server.join()


def test_each_phone_counts_its_own_frames_losses_and_duplicates(bank: PhoneBank, echo: tuple[str, int]) -> None:
    bank.send_to([echo] * PHONES)
    bank.run(0.1)
    heard = bank.measure(1.0)
    share = heard.share
    assert share[SILENT] == 0
    assert share[3] == pytest.approx(0.9, abs=0.03)
    assert (np.delete(share, [3, SILENT]) == 1).all()
    assert heard.duplicates == 50
    assert (heard.foreign, heard.refused) == (0, 0)


def test_each_phone_hears_what_was_sent_to_it(bank: PhoneBank, echo: tuple[str, int]) -> None:
    bank.send_to([echo] * PHONES)
    heard = bank.measure(0.5)
    for phone in set(range(PHONES)) - {3, SILENT}:
        assert heard.payloads(phone) == [bytes([phone]) * 160] * 25
    assert [payload for _, payload in heard.watched] == [b"\x02" * 160] * len(heard.watched)
    assert len(heard.watched) >= 25


def test_a_phone_without_a_destination_is_silent(bank: PhoneBank, echo: tuple[str, int]) -> None:
    bank.send_to([echo, *[None] * (PHONES - 1)])
    assert bank.measure(0.2).share.tolist() == [1.0] + [0.0] * (PHONES - 1)
