"""Offer and answer for one audio stream (RFC 3264), one dialog's side of it, without I/O.

Whatever the far side describes besides its first usable audio line is refused with port 0 and keeps its place in every
later description (RFC 3264 sections 6 and 8). We answer with a single codec, so that it cannot change under the mixer.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Literal

from sdp.codec import DYNAMIC, KNOWN, TELEPHONE_EVENT, Codec, codecs, telephone_event
from sdp.errors import NoCommonCodecError, NoUsableMediaError, SdpError
from sdp.session import MAX_PORT, Attribute, Connection, Media, Origin, SessionDescription, number, parse_address

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Address = tuple[str, int]

PROFILES = ("RTP/AVP", "RTP/AVPF")
MAX_PTIME_MS = 60
"""The longest packets the mixer's jitter buffer takes."""

# direction -> (its author sends, its author receives)
_DIRECTIONS: dict[str, tuple[bool, bool]] = {
    "sendrecv": (True, True),
    "sendonly": (True, False),
    "recvonly": (False, True),
    "inactive": (False, False),
}
_DIRECTION_NAMES = {flags: name for name, flags in _DIRECTIONS.items()}


@dataclass(frozen=True, slots=True)
class AudioSettings:
    """Our side of a stream: where we receive it and what we speak.

    ``codecs`` are names out of ``sdp.codec.KNOWN`` in our order of preference. The offerer's order decides unless
    ``own_order`` is set. ``ptime`` in ms is what we would like to receive. Raises ValueError for senseless settings.
    """

    address: str
    port: int
    session_id: int
    codecs: tuple[str, ...] = ("OPUS", "G722", "PCMA", "PCMU")
    ptime: int = 20
    dtmf: bool = True
    own_order: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.codecs if name not in KNOWN]
        if unknown or not self.codecs:
            raise ValueError(f"codecs: {unknown or 'none'} given, known are {', '.join(KNOWN)}")
        ipaddress.ip_address(self.address)
        if not 0 < self.port <= MAX_PORT:
            raise ValueError(f"port: {self.port} is not within 1..{MAX_PORT}")
        if not 0 < self.ptime <= MAX_PTIME_MS:
            raise ValueError(f"ptime: {self.ptime} is not within 1..{MAX_PTIME_MS} ms")


@dataclass(frozen=True, slots=True)
class AudioSession:
    """What both sides agreed on. Directions are ours: ``send`` means that we send.

    ``send_pt`` is the payload type to send ``codec`` with, ``receive_pts`` those it may arrive with; ``event_pt`` and
    ``send_event_pt`` are the same for telephone-event. ``remote`` and ``remote_rtcp`` are None while the far side is
    nowhere (``c=0.0.0.0``). ``ptime`` in ms is what the far side wants to get, within its ``maxptime``. ``on_hold``:
    the far side does not want to hear us, in the new way (sendonly, inactive) or the old (RFC 3264 section 8.4).
    ``several``: it answered our offer with more codecs than the one, so that it may change between them without a word;
    another offer() binds it to ``codec`` (RFC 3264 section 10.2).
    """

    codec: str
    send_pt: int
    receive_pts: tuple[int, ...]
    event_pt: int | None
    send_event_pt: int | None
    remote: Address | None
    remote_rtcp: Address | None
    rtcp_mux: bool
    ptime: int
    maxptime: int | None
    send: bool
    receive: bool
    on_hold: bool
    several: bool = False


def media_family(description: bytes) -> int:
    """4 or 6: the address family of the audio described, to receive it with the same. Raises SdpError."""
    parsed = SessionDescription.parse(description)
    _, media, _ = _find_audio(parsed, 0, tuple(KNOWN))
    return ipaddress.ip_address(_host(parsed, media)).version


class Negotiation:
    """One dialog's session: make offers, take answers, and the other way round.

    ``session`` is what was last agreed on, None before that. A description that raises SdpError changes nothing.
    ``settings`` may be replaced between exchanges (new address or port); the next description carries them.
    """

    def __init__(self, settings: AudioSettings) -> None:
        self.settings = settings
        self.session: AudioSession | None = None
        self._wish: Direction = "sendrecv"
        self._numbers = _PayloadTypes()
        self._profile = PROFILES[0]
        self._lines: list[Media] = []
        self._index = 0
        self._offered: list[Codec] = []
        self._received: tuple[SessionDescription, int, AudioSession] | None = None
        self._last: SessionDescription | None = None

    def offer(self, direction: Direction = "sendrecv") -> bytes:
        """A description to propose. ``direction`` is what we wish, also in later answers, until the next offer().

        All our codecs, the agreed one first; that one only after an answer that named ``several``.
        """
        self._wish = direction
        agreed = self.session
        names = sorted(self.settings.codecs, key=lambda name: agreed is None or name != agreed.codec)
        wanted = [KNOWN[name] for name in (names[:1] if agreed is not None and agreed.several else names)]
        if self.settings.dtmf:
            # RFC 4733 section 2.1: events share the RTP clock of the audio they stand for
            wanted += [telephone_event(clock) for clock in dict.fromkeys(codec.clock_rate for codec in wanted)]
        self._offered = self._numbers.assign(wanted)
        media = self._media(self._offered, direction, rtcp_mux=True)
        return self._encode(media)

    def receive_answer(self, answer: bytes) -> AudioSession:
        """Take the answer to the last offer(); again when it is repeated (183, then 200). Raises SdpError."""
        if not self._offered:
            raise SdpError("answer", "there is no offer that it could answer")
        description = SessionDescription.parse(answer)
        if self._index >= len(description.media):
            raise SdpError("m", f"{len(description.media)} lines do not answer our {max(len(self._lines), 1)}")
        media = description.media[self._index]
        if media.kind != "audio" or media.protocol.upper() not in PROFILES:
            raise SdpError("m", f"{media.kind} over {media.protocol} does not answer audio over {self._profile}")
        if media.port == 0:
            raise NoUsableMediaError("m", "our audio was refused (port 0)")
        ours = {codec.key: codec for codec in self._offered}
        theirs = [codec for codec in self._answered(media) if codec.key in ours]
        voices = [codec for codec in theirs if codec.name != TELEPHONE_EVENT]
        if not voices:
            raise NoCommonCodecError("m", f"{' '.join(media.formats)} holds no codec that we offered")
        voice = voices[0]
        event = _event(theirs, voice.clock_rate)
        session = self._agree(description, media, voice, event)
        # a phone that answers with a number of its own often sends with it too
        used = {codec.payload_type for codec in self._offered}
        numbers = [ours[voice.key].payload_type, *({voice.payload_type} - used)]
        event_pt = ours[event.key].payload_type if event else None
        several = len({codec.key for codec in voices}) > 1
        self.session = replace(session, receive_pts=tuple(numbers), event_pt=event_pt, several=several)
        return self.session

    def receive_offer(self, offer: bytes) -> AudioSession:
        """Take an offer; gives what answer() will agree to. Raises SdpError (NoUsableMediaError: 488)."""
        description = SessionDescription.parse(offer)
        index, media, theirs = _find_audio(description, self._index, self.settings.codecs)
        voices = [codec for codec in theirs if codec.name != TELEPHONE_EVENT]
        voice = min(voices, key=lambda c: self.settings.codecs.index(c.name)) if self.settings.own_order else voices[0]
        event = _event(theirs, voice.clock_rate) if self.settings.dtmf else None
        session = self._agree(description, media, voice, event)
        self._received = (description, index, session)
        return session

    def answer(self) -> bytes:
        """The answer to the last received offer, which takes effect by this. Raises RuntimeError without one."""
        if self._received is None:
            raise RuntimeError("answer() without an offer received")
        description, index, session = self._received
        offered = description.media[index]
        theirs = codecs(offered)
        self._lines = [Media(line.kind, 0, line.protocol, line.formats) for line in description.media]
        self._index = index
        self._profile = offered.protocol
        self._numbers.learn(theirs, offered.formats)
        self._received, self._offered = None, []
        self.session = session
        chosen = [replace(KNOWN[session.codec], payload_type=session.send_pt)]
        chosen += [
            replace(telephone_event(codec.clock_rate), payload_type=codec.payload_type)
            for codec in theirs
            if codec.payload_type == session.event_pt
        ]
        # an offer from nowhere is answered with silence rather than with a promise to send
        direction = _DIRECTION_NAMES[session.send, session.receive]
        media = self._media(chosen, direction, rtcp_mux=session.rtcp_mux)
        return self._encode(media)

    def _media(self, chosen: list[Codec], direction: str, *, rtcp_mux: bool) -> Media:
        attributes = [attribute for codec in chosen for attribute in codec.attributes()]
        attributes.append(Attribute("ptime", str(self.settings.ptime)))
        attributes.append(Attribute("maxptime", str(MAX_PTIME_MS)))
        # RFC 3605: RTCP never comes to the next higher port, which belongs to somebody else's lane
        attributes.append(Attribute("rtcp", str(self.settings.port)))
        if rtcp_mux:
            attributes.append(Attribute("rtcp-mux"))
        attributes.append(Attribute(direction))
        formats = tuple(str(codec.payload_type) for codec in chosen)
        return Media("audio", self.settings.port, self._profile, formats, attributes=tuple(attributes))

    def _encode(self, audio: Media) -> bytes:
        """The whole description: our audio in its place, everything else refused."""
        address = self.settings.address
        version = self._last.origin.version if self._last else 1
        description = SessionDescription(
            origin=Origin("-", self.settings.session_id, version, address),
            connection=Connection(address),
            media=(*self._lines[: self._index], audio, *self._lines[self._index + 1 :]),
        )
        # RFC 3264 section 8: the version rises by one when, and only when, the description differs
        if self._last is not None and description != self._last:
            description = replace(description, origin=replace(description.origin, version=version + 1))
        self._last = description
        return description.encode()

    def _answered(self, media: Media) -> list[Codec]:
        """The formats of an answer; a number of ours that comes back without its rtpmap means what we said."""
        known = {str(codec.payload_type): codec for codec in self._offered}
        theirs = {str(codec.payload_type): codec for codec in codecs(media)}
        return [codec for text in media.formats if (codec := theirs.get(text) or known.get(text))]

    def _agree(self, description: SessionDescription, media: Media, voice: Codec, event: Codec | None) -> AudioSession:
        they_send, they_receive = _DIRECTIONS[_direction(description, media)]
        we_send, we_receive = _DIRECTIONS[self._wish]
        remote = _remote(description, media)
        mux = media.has("rtcp-mux")
        maxptime = _milliseconds(media, "maxptime")
        ptime = _milliseconds(media, "ptime") or self.settings.ptime
        event_pt = event.payload_type if event else None
        return AudioSession(
            codec=voice.name,
            send_pt=voice.payload_type,
            receive_pts=(voice.payload_type,),
            event_pt=event_pt,
            send_event_pt=event_pt,
            remote=remote,
            remote_rtcp=remote if mux else _remote_rtcp(media, remote),
            rtcp_mux=mux,
            ptime=min(ptime, maxptime) if maxptime else ptime,
            maxptime=maxptime,
            send=we_send and they_receive and remote is not None,
            receive=we_receive and they_send,
            on_hold=remote is None or not they_receive,
        )


class _PayloadTypes:
    """Which number means which codec in this dialog; a number never changes its meaning (RFC 3264 section 8.3.2)."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int], int] = {}
        self._taken: set[int] = set()

    def learn(self, theirs: list[Codec], formats: tuple[str, ...]) -> None:
        """Keep to the far side's numbers from now on."""
        # reversed, so that a codec listed twice keeps the number the far side prefers
        self._numbers.update((codec.key, codec.payload_type) for codec in reversed(theirs))
        self._taken.update(int(text) for text in formats)

    def assign(self, wanted: list[Codec]) -> list[Codec]:
        """``wanted`` with their numbers; those for which no number is left drop out."""
        out = []
        for codec in wanted:
            pt = self._numbers.get(codec.key)
            if pt is None:
                pt = next((n for n in (codec.payload_type, *DYNAMIC) if n not in self._taken), None)
            if pt is not None:
                self._numbers[codec.key] = pt
                self._taken.add(pt)
                out.append(replace(codec, payload_type=pt))
        return out


def _find_audio(description: SessionDescription, first: int, names: tuple[str, ...]) -> tuple[int, Media, list[Codec]]:
    """The audio line to use, ``first`` if it serves: its index, itself, and its codecs (events too) that we speak."""
    audio = [(index, media) for index, media in enumerate(description.media) if media.kind == "audio"]
    if not audio:
        raise NoUsableMediaError("m", "there is no audio line")
    usable = [entry for entry in audio if entry[1].port and entry[1].protocol.upper() in PROFILES]
    if not usable:
        what = ", ".join(f"port {media.port} over {media.protocol}" for _, media in audio)
        raise NoUsableMediaError("m", f"no audio line is enabled and plain RTP ({what})")
    named = []
    for index, media in sorted(usable, key=lambda entry: entry[0] != first):
        offered = codecs(media)
        named += [codec.name for codec in offered if codec.name != TELEPHONE_EVENT]
        theirs = [c for c in offered if c.name == TELEPHONE_EVENT or (c.name in names and c.key == KNOWN[c.name].key)]
        if any(codec.name != TELEPHONE_EVENT for codec in theirs):
            return index, media, theirs
    raise NoCommonCodecError("m", f"none of {', '.join(named) or 'its payload types'} is among {', '.join(names)}")


def _event(candidates: list[Codec], clock_rate: int) -> Codec | None:
    """The telephone-event for a voice codec's clock, else whichever there is."""
    events = [codec for codec in candidates if codec.name == TELEPHONE_EVENT]
    return next((event for event in events if event.clock_rate == clock_rate), events[0] if events else None)


def _direction(description: SessionDescription, media: Media) -> str:
    """The media level's direction, else the session level's, else sendrecv (RFC 8866 section 6.7)."""
    for level in (media, description):
        named = dict.fromkeys(a.name for a in level.attributes if a.name in _DIRECTIONS)
        if len(named) > 1:
            raise SdpError(f"a={list(named)[1]}", f"contradicts a={next(iter(named))}")
        if named:
            return next(iter(named))
    return "sendrecv"


def _host(description: SessionDescription, media: Media) -> str:
    connection = media.connections[0] if media.connections else description.connection
    if connection is None:
        raise SdpError("c", "is on neither level")
    return _unicast(connection.address, "c")


def _unicast(address: str, field: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise SdpError(field, f"{address!r} is a host name, an IP address is needed") from None
    if parsed.is_multicast or address == "255.255.255.255":
        raise SdpError(field, f"{address} is no unicast address")
    return address


def _remote(description: SessionDescription, media: Media) -> Address | None:
    host = _host(description, media)
    return None if ipaddress.ip_address(host).is_unspecified else (host, media.port)


def _remote_rtcp(media: Media, remote: Address | None) -> Address | None:
    """RFC 3605's ``a=rtcp:port [IN IP4 address]``, else the next higher port (RFC 3550 section 11)."""
    if remote is None:
        return None
    values = media.values("rtcp")
    if not values:
        return (remote[0], remote[1] + 1) if remote[1] < MAX_PORT else None
    parts = values[0].split()
    if len(parts) not in (1, 4):
        raise SdpError("a=rtcp", f"{values[0][:80]!r} is not port [nettype addrtype address]")
    port = number(parts[0], "a=rtcp", low=1, high=MAX_PORT)
    host = _unicast(parse_address(parts[1], parts[2], parts[3], "a=rtcp"), "a=rtcp") if len(parts) == 4 else remote[0]
    return None if ipaddress.ip_address(host).is_unspecified else (host, port)


def _milliseconds(media: Media, name: str) -> int | None:
    """``a=ptime`` or ``a=maxptime``: RFC 8866 sections 6.4 and 6.5 allow a fraction, which is rounded."""
    values = media.values(name)
    if not values:
        return None
    whole, _, fraction = values[0].strip().partition(".")
    if fraction:
        number(fraction, f"a={name}")
    value = number(whole, f"a={name}", high=1000) + (fraction[:1] >= "5")
    if value == 0:
        raise SdpError(f"a={name}", "is zero")
    return value
