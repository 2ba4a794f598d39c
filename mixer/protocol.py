"""The messages between control and a mixer process: frozen dataclasses, msgpack on the wire.

A stream socket carries frames of a 4-byte big-endian length and a msgpack map ``{"t": class name, ...fields}``. Both
ends only ever see the dataclasses: ``encode`` makes a frame, ``Decoder.feed`` gives back what has arrived. Unknown
types and malformed fields raise ``ProtocolError``.
"""

from __future__ import annotations

import dataclasses
import struct
import types
import typing
from dataclasses import dataclass
from typing import Any

import msgpack

MAX_FRAME = 4 << 20


class ProtocolError(Exception):
    """The peer sent something that is not one of our messages."""


@dataclass(frozen=True, slots=True)
class Message:
    """Base of commands and events."""


# --- what a leg's media is -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LegMedia:
    """How a leg's voice travels; the outcome of offer/answer.

    ``send_pt`` / ``receive_pts``: RTP payload types we send and accept for ``codec``. ``event_pt``: telephone-event as
    received (RFC 4733), None when not negotiated. ``remote``: where to send, None while unknown. ``latch_hosts``: hosts
    a NATed phone may be heard from besides ``remote`` (its SDP host, its signalling source). ``send``/``receive``:
    directions as seen from us (RFC 3264). ``ssrc``: ours, random. ``host`` parts are textual IPv4 or IPv6 addresses.
    """

    codec: str
    """PCMU, PCMA, G722 or OPUS."""
    send_pt: int
    receive_pts: tuple[int, ...]
    event_pt: int | None
    remote: tuple[str, int] | None
    remote_rtcp: tuple[str, int] | None
    rtcp_mux: bool = False
    latch_hosts: tuple[str, ...] = ()
    send: bool = True
    receive: bool = True
    remote_ssrc: int | None = None
    """The leg is a link from another mixer, recognised by its SSRC on a lane of its own."""


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """How a conference sounds. ``talkers``: most voices in the mix at once, the loudest; 0 for no limit.

    ``levelling``: bring everybody's speech to one loudness (N9). ``silence_music``: keep out of the mix who plays music
    or tones instead of speaking (N8); a leg whose far side holds us is kept out of it in any case.
    """

    talkers: int = 0
    levelling: bool = True
    silence_music: bool = False


# --- commands: control to mixer --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assume(Message):
    """Take over these lanes (places among the descriptors the process was started with) and tick."""

    lanes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class AddLeg(Message):
    """A leg joins a conference on a lane. The conference comes into being with its first leg."""

    leg: str
    conference: str
    lane: int
    ssrc: int
    media: LegMedia
    mute: bool = False
    deaf: bool = False
    talk_gain_db: float = 0.0
    listen_gain_db: float = 0.0
    levelling: bool = True
    """Unless its conference has it off."""
    room: RoomSettings = RoomSettings()


@dataclass(frozen=True, slots=True)
class UpdateLeg(Message):
    """The leg's media changed (re-INVITE, hold, new address)."""

    leg: str
    media: LegMedia


@dataclass(frozen=True, slots=True)
class SetLeg(Message):
    """Adjust what the leg says and hears; None leaves a property alone."""

    leg: str
    mute: bool | None = None
    deaf: bool | None = None
    talk_gain_db: float | None = None
    listen_gain_db: float | None = None
    levelling: bool | None = None


@dataclass(frozen=True, slots=True)
class SetRoom(Message):
    """How a conference sounds from now on; one without legs is not known and ignored."""

    conference: str
    room: RoomSettings


@dataclass(frozen=True, slots=True)
class MoveLeg(Message):
    """The leg goes to another conference of this mixer, with its stream and its counters."""

    leg: str
    conference: str
    room: RoomSettings


@dataclass(frozen=True, slots=True)
class LoadClip(Message):
    """Part of a clip: int16 samples (little-endian) at ``rate``, from ``offset`` of ``total`` samples on, in order.

    A clip can be played once it is there at 8, 16 and 48 kHz.
    """

    clip: str
    rate: int
    pcm: bytes
    offset: int
    total: int


@dataclass(frozen=True, slots=True)
class UnloadClip(Message):
    clip: str


@dataclass(frozen=True, slots=True)
class Play(Message):
    """Play clips one after the other to one leg, or to a whole conference; answered by one Played with the token.

    ``loop``: from the beginning again, until stopped. ``duck_db``: by how much all else is lowered meanwhile.
    ``queued``: after what plays already instead of in its place.
    """

    token: int
    clips: tuple[str, ...]
    leg: str | None = None
    conference: str | None = None
    loop: bool = False
    gain_db: float = 0.0
    duck_db: float = 0.0
    queued: bool = False


@dataclass(frozen=True, slots=True)
class StopPlaying(Message):
    """Stop what is played to one leg, or to a whole conference."""

    leg: str | None = None
    conference: str | None = None


@dataclass(frozen=True, slots=True)
class RemoveLeg(Message):
    leg: str


@dataclass(frozen=True, slots=True)
class Ping(Message):
    """Answered by Pong; the supervisor's sign of life."""

    token: int


@dataclass(frozen=True, slots=True)
class QueryLegs(Message):
    """Answered by one LegStats per leg named (all legs when empty), then QueryDone."""

    token: int
    legs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile(Message):
    """Start (True) or stop measuring the tick's stages; the next Load carries them."""

    on: bool


@dataclass(frozen=True, slots=True)
class Shutdown(Message):
    pass


# --- events: mixer to control ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready(Message):
    """The process is up and waits for Assume."""

    pid: int


@dataclass(frozen=True, slots=True)
class Pong(Message):
    token: int


@dataclass(frozen=True, slots=True)
class Digit(Message):
    """A keypad digit was pressed (RFC 4733), reported once, at its end."""

    leg: str
    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Talking(Message):
    """The leg began or stopped to talk."""

    leg: str
    talking: bool
    level_dbov: float


@dataclass(frozen=True, slots=True)
class Music(Message):
    """The leg began or ceased to play music, tones or steady noise instead of speaking (N8)."""

    leg: str
    playing: bool
    silenced: bool
    """It is kept out of the mix for that."""


@dataclass(frozen=True, slots=True)
class Played(Message):
    """A playlist is over: played to its end, or (``complete`` False) stopped, replaced, impossible."""

    token: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Latched(Message):
    """The leg's media source was recognised."""

    leg: str
    remote: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Inactive(Message):
    """Nothing was received from the leg for so long (repeated once a second)."""

    leg: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RtcpBye(Message):
    """The leg's sender said BYE (RFC 3550 section 6.6)."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegStats(Message):
    """Counters and gauges of one leg since it joined."""

    leg: str
    packets_received: int
    packets_sent: int
    packets_lost: int
    """By sequence number, RFC 3550 appendix A.3."""
    packets_late: int
    packets_duplicate: int
    packets_rejected: int
    """Wrong payload type, version, SSRC or source."""
    frames_concealed: int
    frames_played: int
    jitter_ms: float
    """RFC 3550 section 6.4.1."""
    playout_delay_ms: float
    round_trip_ms: float | None
    """From RTCP, None until known."""
    remote_lost_fraction: float | None
    """As the far side reports, 0..1."""
    level_dbov: float
    talking: bool
    talk_seconds: float
    loss_fraction: float
    """Of the frames due, 0..1."""
    burst_ratio: float
    """BurstR of ITU-T G.107: 1 for random loss, more for bursts."""
    rating: float
    """R of the E-model (ITU-T G.107, wideband G.107.1), as heard here."""
    mos: float
    """Mean opinion score, 1 to 4.5, from the rating."""
    gain_db: float
    """What levelling adds now."""


@dataclass(frozen=True, slots=True)
class QueryDone(Message):
    token: int


@dataclass(frozen=True, slots=True)
class Load(Message):
    """Once a second: how the tick fares.

    ``tick_us`` is the mean of a tick's processor time, ``tick_max_us`` the longest tick by the clock.
    """

    legs: int
    conferences: int
    ticks: int
    late_ticks: int
    skipped_ticks: int
    tick_us: float
    tick_max_us: float
    packets_received: int
    packets_sent: int
    packets_unmatched: int
    send_errors: int
    events_dropped: int
    stages_us: dict[str, float]
    """Mean microseconds a tick per stage, filled only while Profile is on."""


MESSAGES: dict[str, type[Message]] = {
    c.__name__: c
    for c in (
        Assume, AddLeg, UpdateLeg, SetLeg, SetRoom, MoveLeg, RemoveLeg, LoadClip, UnloadClip, Play, StopPlaying,
        Ping, QueryLegs, Profile, Shutdown,
        Ready, Pong, Digit, Talking, Music, Played, Latched, Inactive, RtcpBye, LegStats, QueryDone, Load,
    )
}  # fmt: skip


def encode(message: Message) -> bytes:
    """One frame for ``message``."""
    body = msgpack.packb({"t": type(message).__name__, **_fields(message)}, default=_fields)
    return struct.pack("!I", len(body)) + typing.cast("bytes", body)


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).__dataclass_fields__}


class Decoder:
    """Takes bytes as they come, gives whole messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages completed by ``data``. Raises ProtocolError; the connection is then beyond repair."""
        self._data += data
        out: list[Message] = []
        at = 0
        while len(self._data) - at >= 4:
            (size,) = struct.unpack_from("!I", self._data, at)
            if size > MAX_FRAME:
                raise ProtocolError(f"a frame of {size} bytes")
            if len(self._data) - at - 4 < size:
                break
            out.append(_decode(bytes(self._data[at + 4 : at + 4 + size])))
            at += 4 + size
        del self._data[:at]
        return out


def _decode(body: bytes) -> Message:
    try:
        fields = msgpack.unpackb(body)
        kind = MESSAGES[fields.pop("t")]
        return typing.cast("Message", _build(kind, fields))
    except ProtocolError:
        raise
    except Exception as error:  # whatever msgpack or a constructor finds wrong with foreign bytes
        raise ProtocolError(f"not a message: {error}") from error


def _build(kind: Any, fields: dict[str, Any]) -> Any:
    shapes = _shapes(kind)
    for name, value in fields.items():
        if name not in shapes:
            raise ProtocolError(f"{kind.__name__} has no field {name}")
        if isinstance(value, list):
            fields[name] = tuple(value)
        elif isinstance(value, dict) and dataclasses.is_dataclass(shapes[name]):
            fields[name] = _build(shapes[name], value)
    return kind(**fields)


_SHAPES: dict[Any, dict[str, Any]] = {}


def _shapes(kind: Any) -> dict[str, Any]:
    """Field types of a message class with optional types unwrapped."""
    if kind not in _SHAPES:
        hints = typing.get_type_hints(kind)
        _SHAPES[kind] = {
            k: next((a for a in typing.get_args(h) if a is not type(None)), h) if isinstance(h, types.UnionType) else h
            for k, h in hints.items()
        }
    return _SHAPES[kind]
