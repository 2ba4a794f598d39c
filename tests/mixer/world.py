"""An engine in memory under virtual time: simulated phones, a network with seeded loss, jitter and reordering."""

from __future__ import annotations

import heapq
import struct
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from mixer.address import from_sockaddr, to_sockaddr
from mixer.codecs import Decoder, Encoder, make_decoder, make_encoder
from mixer.datagrams import ADDRESS, HEAD, TAIL, Inbox, Outbox
from mixer.engine import Engine
from mixer.g711 import DECODE, ENCODE
from mixer.legs import CLOCK_STEP, CODECS, RATES
from mixer.protocol import AddLeg, LegMedia, LegStats, Message, QueryLegs

TICK_NS = 20_000_000
SERVER = ("10.0.0.1", 40000)
Float = NDArray[np.float64]


class MemoryInbox(Inbox):
    """Packets come from a list of (lane, data, source, arrival ns)."""

    def __init__(self) -> None:
        super().__init__(1024)
        self.waiting: list[tuple[int, bytes, tuple[str, int], int]] = []
        self._arrival = np.zeros(self.capacity, np.int64)

    def fill(self, fds: list[int]) -> bool:
        batch, self.waiting = self.waiting[: self.capacity], self.waiting[self.capacity :]
        for i, (lane, data, source, arrival) in enumerate(batch):
            whole = np.frombuffer(data[: HEAD + TAIL].ljust(HEAD + TAIL, b"\xaa"), np.uint8)
            self.head[i], self.tail[i] = whole[:HEAD], whole[HEAD:]
            self.size[i] = min(len(data), HEAD + TAIL)
            self.lane[i] = lane
            self.address[i] = np.frombuffer(to_sockaddr(source).ljust(ADDRESS, b"\0"), np.uint8)
            self._arrival[i] = arrival
        self.count = len(batch)
        return not self.waiting

    def stamps(self) -> NDArray[np.int64]:
        return self._arrival[: self.count].copy()


class MemoryOutbox(Outbox):
    """Packets go to ``sent``: (data, destination)."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self._rows: list[int] = []
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.single: list[tuple[bytes, tuple[str, int]]] = []

    def plan(self, rows: NDArray[np.int64], lanes: NDArray[np.int64], fds: list[int]) -> None:
        self._rows = rows.tolist()

    def send(self) -> tuple[int, int]:
        for row in self._rows:
            destination = from_sockaddr(self.address[row])
            assert destination is not None
            self.sent.append((self.buffer[row, : int(self.size[row])].tobytes(), destination))
        return len(self._rows), 0

    def send_one(self, fd: int, data: bytes, address: NDArray[np.uint8], size: int) -> None:
        destination = from_sockaddr(address)
        assert destination is not None
        self.single.append((data, destination))


@dataclass(slots=True)
class Network:
    """What happens to packets on their way to the server; jitter is uniform between 0 and ``jitter_ms``."""

    loss: float = 0.0
    jitter_ms: float = 0.0
    duplicate: float = 0.0
    seed: int = 1
    ordered: bool = False
    """Packets of one phone do not overtake each other."""


@dataclass(slots=True)
class Phone:
    """A phone that sends ``pcm`` (int16 scale, at its codec's rate, repeated) and records what it hears."""

    name: str
    address: tuple[str, int]
    codec: str
    pcm: Float
    ptime: int = 20
    talks: bool = True
    drift_ppm: float = 0.0
    seq: int = 65500
    timestamp: int = 0xFFFF_F000
    ssrc: int = 7
    offset_ns: int = 3_000_000
    """Phase of its sending against the server's tick."""
    heard: list[Float] = field(default_factory=list)
    headers: list[tuple[int, int, int, int]] = field(default_factory=list)
    """First byte, payload type, sequence number and timestamp of what it received."""
    sent_packets: int = 0
    lost_packets: int = 0
    _at: int = 0
    _encoded: bytes = b""
    _encoder: Encoder | None = None
    _decoder: Decoder | None = None
    _last_arrival: int = 0

    @property
    def rate(self) -> int:
        return int(RATES[CODECS[self.codec]])

    def packet(self) -> bytes:
        """The next RTP packet."""
        payload = self._payload()
        self.seq = (self.seq + 1) & 0xFFFF
        clock = 8000 * int(CLOCK_STEP[CODECS[self.codec]])
        self.timestamp = (self.timestamp + clock * self.ptime // 1000) & 0xFFFF_FFFF
        return struct.pack("!BBHII", 0x80, payload_type(self.codec), self.seq, self.timestamp, self.ssrc) + payload

    def _payload(self) -> bytes:
        """G.711 and G.722 have 8 bytes a millisecond and may be cut anywhere; Opus packets are what the encoder
        makes."""
        size = 8 * self.ptime
        if self.codec == "OPUS":
            return self._encode(self._samples(20))
        while len(self._encoded) < size:
            self._encoded += self._encode(self._samples(20))
        payload, self._encoded = self._encoded[:size], self._encoded[size:]
        return payload

    def _samples(self, milliseconds: int) -> Float:
        samples = self.rate * milliseconds // 1000
        index = (self._at + np.arange(samples)) % len(self.pcm)
        self._at += samples
        return self.pcm.take(index)

    def hear(self, data: bytes) -> None:
        first, second, seq, timestamp, _ = struct.unpack_from("!BBHII", data)
        self.headers.append((first, second & 0x7F, seq, timestamp))
        self.heard.append(self._decode(data[12:]))

    def recording(self, last_seconds: float | None = None) -> Float:
        frames = self.heard if last_seconds is None else self.heard[-int(last_seconds * 50) :]
        return np.concatenate(frames) if frames else np.zeros(0)

    def _encode(self, pcm: Float) -> bytes:
        code = CODECS[self.codec]
        if code < 2:
            return bytes(ENCODE[code][pcm.astype(np.int16).view(np.uint16)])
        if self._encoder is None:
            self._encoder = make_encoder(self.codec)
        return self._encoder.encode(pcm.astype(np.float32))

    def _decode(self, payload: bytes) -> Float:
        code = CODECS[self.codec]
        if code < 2:
            samples: Float = DECODE[code][np.frombuffer(payload, np.uint8)].astype(np.float64)
            return samples
        if self._decoder is None:
            self._decoder = make_decoder(self.codec)
        return self._decoder.decode(payload).astype(np.float64)


def payload_type(codec: str) -> int:
    return {"PCMU": 0, "PCMA": 8, "G722": 9, "OPUS": 111}[codec]


class World:
    """One engine, its phones, and a clock that only ``run`` moves."""

    def __init__(self, network: Network | None = None, *, capacity: int = 64, lanes: int = 2) -> None:
        self.inbox = MemoryInbox()
        self.outbox = MemoryOutbox(capacity)
        self.engine = Engine(list(range(lanes)), capacity, inbox=self.inbox, outbox=self.outbox)
        self.network = network or Network()
        self.now = 1_700_000_000 * 1_000_000_000
        self.phones: dict[str, Phone] = {}
        self.events: list[Message] = []
        self._rng = np.random.default_rng(self.network.seed)
        self._flying: list[tuple[int, int, bytes, Phone]] = []
        self._order = count()
        self._next_send: dict[str, float] = {}

    def call(
        self,
        name: str,
        conference: str = "room",
        *,
        codec: str = "PCMU",
        tone: float | None = None,
        amplitude: float = 6000,
        ptime: int = 20,
        pcm: Float | None = None,
        media: LegMedia | None = None,
        **leg: object,
    ) -> Phone:
        """A phone joins a conference; it sends ``pcm``, a tone, or silence."""
        rate = int(RATES[CODECS[codec]])
        if pcm is None:
            time = np.arange(rate) / rate
            pcm = amplitude * np.sin(2 * np.pi * tone * time) if tone else np.zeros(rate)
        number = len(self.phones) + 1
        phone = Phone(name, (f"192.0.2.{number}", 10000 + 2 * number), codec, pcm, ptime, ssrc=1000 + number)
        phone.offset_ns = int(self._rng.integers(0, TICK_NS))
        self.phones[name] = phone
        self._next_send[name] = float(self.now + phone.offset_ns)
        pt = payload_type(codec)
        media = media or LegMedia(codec, pt, (pt,), 101, phone.address, None, rtcp_mux=True)
        lane = number % len(self.engine.fds)
        self.engine.apply(AddLeg(name, conference, lane, 5000 + number, media, **leg))  # type: ignore[arg-type]
        return phone

    def inject(self, data: bytes, source: tuple[str, int], *, lane: int = 0) -> None:
        """A packet from anywhere."""
        self.inbox.waiting.append((lane, data, source, self.now))

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.tick()

    def tick(self) -> None:
        self.now += TICK_NS
        for phone in self.phones.values():
            self._transmit(phone)
        while self._flying and self._flying[0][0] <= self.now:
            arrival, _, data, phone = heapq.heappop(self._flying)
            lane = self.engine.legs.lane[self.engine.legs.row_of[phone.name]] if self._in(phone) else 0
            self.inbox.waiting.append((int(lane), data, phone.address, arrival))
        self.engine.tick(self.now)
        self.events += self.engine.take_events()
        by_address = {phone.address: phone for phone in self.phones.values()}
        for data, destination in self.outbox.sent:
            if destination in by_address:
                by_address[destination].hear(data)
        self.outbox.sent.clear()

    def stats(self, name: str) -> LegStats:
        self.engine.apply(QueryLegs(0, (name,)))
        return next(m for m in self.engine.take_events() if isinstance(m, LegStats))

    def _in(self, phone: Phone) -> bool:
        return phone.name in self.engine.legs.row_of

    def _transmit(self, phone: Phone) -> None:
        net, step = self.network, phone.ptime * 1_000_000 * (1 + phone.drift_ppm / 1e6)
        while self._next_send[phone.name] <= self.now:
            moment = self._next_send[phone.name]
            self._next_send[phone.name] += step
            data = phone.packet()
            if not phone.talks:
                continue
            phone.sent_packets += 1
            if self._rng.random() < net.loss:
                phone.lost_packets += 1
                continue
            for _ in range(2 if self._rng.random() < net.duplicate else 1):
                arrival = int(moment + self._rng.random() * net.jitter_ms * 1e6)
                if net.ordered:
                    arrival = max(arrival, phone._last_arrival + 1)
                    phone._last_arrival = arrival
                heapq.heappush(self._flying, (arrival, next(self._order), data, phone))


def level(signal: Float, frequency: float, rate: int = 8000) -> float:
    """Amplitude of a tone in ``signal``, over whole windows of 0.1 s (median, so that a moving buffer does not
    count)."""
    window = rate // 10
    blocks = signal[: len(signal) // window * window].reshape(-1, window)
    wave = np.exp(-2j * np.pi * frequency * np.arange(window) / rate)
    return float(np.median(np.abs(blocks @ wave))) * 2 / window
