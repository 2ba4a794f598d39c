"""Real mixer processes under control: sound, a mixer killed or hanging (N13), a conference over two mixers."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator

import numpy as np
import pytest

from control.config import MediaConfig, PortRange
from control.media import MediaError, MixerPool
from control.ports import MediaLost, MediaRestored
from mixer.g711 import DECODE, ENCODE
from mixer.protocol import LegMedia, Message

TICK = 0.02


class Phone:
    """A phone on a real socket that sends a tone (or silence) and keeps what it hears with the time it came."""

    def __init__(self, tone: float = 0.0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        time = np.arange(8000) / 8000
        pcm = (6000 * np.sin(2 * np.pi * tone * time)).astype(np.int16)
        self._voice = ENCODE[0][pcm.view(np.uint16)].tobytes()
        self._count = 0
        self.target: tuple[str, int] = ("", 0)
        self.heard: list[tuple[float, bytes]] = []

    @property
    def media(self) -> LegMedia:
        return LegMedia("PCMU", 0, (0,), None, self.socket.getsockname(), None, rtcp_mux=True)

    def step(self, now: float) -> None:
        at = self._count % 50 * 160
        header = struct.pack("!BBHII", 0x80, 0, self._count & 0xFFFF, self._count * 160, 42)
        self.socket.sendto(header + self._voice[at : at + 160], self.target)
        self._count += 1
        while True:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                return
            if data[1] & 0x7F == 0:
                self.heard.append((now, data[12:]))

    def level(self, tone: float, since: float = 0.0) -> float:
        pcm = DECODE[0][np.frombuffer(b"".join(data for at, data in self.heard if at >= since), np.uint8)]
        blocks = pcm[: len(pcm) // 800 * 800].reshape(-1, 800)
        wave = np.exp(-2j * np.pi * tone * np.arange(800) / 8000)
        return float(np.median(np.abs(blocks @ wave))) * 2 / 800


class Bench:
    """A pool and phones on it."""

    def __init__(self, pool: MixerPool) -> None:
        self.pool = pool
        self.phones: dict[str, Phone] = {}
        self.events: list[Message] = []
        pool.subscribe(self.events.append)

    def join(self, name: str, conference: str, tone: float = 0.0) -> Phone:
        phone = self.phones[name] = Phone(tone)
        address = self.pool.reserve(name, conference)
        phone.target = (address.host, address.port)
        self.pool.connect(name, phone.media)
        return phone

    async def talk(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for _ in range(round(seconds / TICK)):
            due += TICK
            await asyncio.sleep(max(due - loop.time(), 0))
            for phone in self.phones.values():
                phone.step(loop.time())

    async def happens(self, kind: type[Message]) -> Message:
        """Talk on until such an event has come."""
        for _ in range(500):
            found = [event for event in self.events if isinstance(event, kind)]
            if found:
                return found[-1]
            await self.talk(TICK)
        raise AssertionError(f"no {kind.__name__}")


def free_ports(count: int) -> PortRange:
    """A range of UDP ports nobody uses now."""
    for base in range(42000, 60000, count):
        probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        try:
            for i, probe in enumerate(probes):
                probe.bind(("127.0.0.1", base + i))
            return PortRange(base, base + count - 1)
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise AssertionError("no free ports")


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    mixers = getattr(request, "param", 1)
    pool = MixerPool(MediaConfig(ports=free_ports(4), mixers=mixers))
    await pool.start()
    yield Bench(pool)
    await pool.close()


async def test_n13_sound_is_back_after_the_mixer_was_killed_and_mutes_still_hold(bench: Bench) -> None:
    listener = bench.join("listener", "room")
    bench.join("talker", "room", tone=440)
    bench.join("muted", "room", tone=700)
    bench.pool.adjust("muted", mute=True)
    bench.pool.adjust("talker", talk_gain_db=-6)
    await bench.talk(1.5)  # long enough for the standing by process to be up
    os.kill(bench.pool.pids[0], signal.SIGKILL)
    restored = await bench.happens(MediaRestored)
    assert isinstance(restored, MediaRestored)
    assert set(restored.legs) == {"listener", "talker", "muted"}
    back = asyncio.get_running_loop().time()
    await bench.talk(1.5)
    assert listener.level(440, since=back + 0.3) == pytest.approx(3000, rel=0.1)
    assert listener.level(700, since=back + 0.3) < 30


async def test_n13_a_mixer_that_hangs_is_noticed_and_replaced(bench: Bench) -> None:
    listener = bench.join("listener", "room")
    bench.join("talker", "room", tone=440)
    await bench.talk(1)
    os.kill(bench.pool.pids[0], signal.SIGSTOP)
    lost = await bench.happens(MediaLost)
    assert isinstance(lost, MediaLost)
    assert "no sign of life" in lost.reason
    await bench.happens(MediaRestored)
    back = asyncio.get_running_loop().time()
    await bench.talk(1.5)
    assert listener.level(440, since=back + 0.3) == pytest.approx(6000, rel=0.1)


@pytest.mark.parametrize("bench", [2], indirect=True)
async def test_a_conference_over_two_mixers_is_one_conference(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in bench.pool._placement.rooms:
        room.capacity, room.reserve = 4, 1
    tones = {f"p{i}": 400.0 + 110 * i for i in range(5)}
    for name, tone in tones.items():
        bench.join(name, "big", tone=tone)
    assert len({seat.mixer for seat in bench.pool._seats.values()}) == 2
    await bench.talk(0.5)
    since = asyncio.get_running_loop().time() + 0.3
    await bench.talk(2)
    for name, phone in bench.phones.items():
        for other, tone in tones.items():
            heard = phone.level(tone, since)
            assert heard < 100 if other == name else heard == pytest.approx(6000, rel=0.1), (name, other)
    for name in tones:
        bench.pool.release(name)
    assert bench.pool._seats == {}


async def test_figures_of_a_leg_come_from_its_mixer(bench: Bench) -> None:
    bench.join("talker", "room", tone=440)
    await bench.talk(1)
    stats = await bench.pool.stats("talker")
    assert stats is not None
    assert stats.packets_received == pytest.approx(50, abs=8)
    others = [f"p{number}" for number in range(100)]
    for name in others:
        bench.pool.reserve(name, "room")
        bench.pool.connect(name, bench.phones["talker"].media)
    everybody = await bench.pool.stats_of(["talker", "stranger", *others])
    assert set(everybody) == {"talker", *others}
    assert everybody["talker"].packets_received >= stats.packets_received
    bench.pool.release("talker")
    assert await bench.pool.stats("talker") is None


async def test_ports_in_use_stop_the_start_with_one_clear_line(bench: Bench) -> None:
    ports = bench.pool._config.ports
    with pytest.raises(MediaError, match=rf"media.ports: cannot open UDP port {ports.first} on 127.0.0.1"):
        await MixerPool(MediaConfig(ports=ports)).start()
