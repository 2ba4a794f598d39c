"""The audio codecs of an ``m=audio`` line: payload types, rtpmap and fmtp (RFC 3551, RFC 7587, RFC 4733)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sdp.errors import SdpError
from sdp.session import Attribute, Media, number

TELEPHONE_EVENT = "TELEPHONE-EVENT"
MAX_PAYLOAD_TYPE = 127
DYNAMIC = range(96, 128)


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload format as a description names it.

    ``name`` is upper case. ``clock_rate`` is the RTP clock in Hz: 8000 for G722 although it samples at 16 kHz, an old
    mistake kept by RFC 3551 section 4.5.2. ``fmtp`` is the parameter text, empty when there is none.
    """

    name: str
    payload_type: int
    clock_rate: int
    channels: int = 1
    fmtp: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """What makes two descriptions' entries the same codec: name and clock.

        Channels do not count: Opus is always written with 2 (RFC 7587 section 7), and some phones leave them out.
        """
        return (self.name, self.clock_rate)

    def attributes(self) -> tuple[Attribute, ...]:
        """The rtpmap line and, where there are parameters, the fmtp line."""
        name = self.name.lower() if self.name in (TELEPHONE_EVENT, "OPUS") else self.name
        channels = f"/{self.channels}" if self.channels > 1 else ""
        rtpmap = Attribute("rtpmap", f"{self.payload_type} {name}/{self.clock_rate}{channels}")
        return (rtpmap, Attribute("fmtp", f"{self.payload_type} {self.fmtp}")) if self.fmtp else (rtpmap,)


# Opus goes without parameters: useinbandfec would ask for redundancy that the mixer's decoder does not use.
KNOWN: dict[str, Codec] = {
    "PCMU": Codec("PCMU", 0, 8000),
    "PCMA": Codec("PCMA", 8, 8000),
    "G722": Codec("G722", 9, 8000),
    "OPUS": Codec("OPUS", 111, 48000, 2),
}
"""The codecs we speak, by name, with the payload types we would choose ourselves."""


def telephone_event(clock_rate: int) -> Codec:
    """Keypad digits 0-9, *, #, A-D (events 0-15) at an RTP clock, with the payload type we would choose ourselves."""
    return Codec(TELEPHONE_EVENT, 101 if clock_rate == 8000 else 110, clock_rate, fmtp="0-15")


# RFC 3551 section 6, table 4: what a static payload type means without an rtpmap
_STATIC: dict[int, tuple[str, int, int]] = {
    0: ("PCMU", 8000, 1),
    3: ("GSM", 8000, 1),
    4: ("G723", 8000, 1),
    5: ("DVI4", 8000, 1),
    6: ("DVI4", 16000, 1),
    7: ("LPC", 8000, 1),
    8: ("PCMA", 8000, 1),
    9: ("G722", 8000, 1),
    10: ("L16", 44100, 2),
    11: ("L16", 44100, 1),
    12: ("QCELP", 8000, 1),
    13: ("CN", 8000, 1),
    14: ("MPA", 90000, 1),
    15: ("G728", 8000, 1),
    16: ("DVI4", 11025, 1),
    17: ("DVI4", 22050, 1),
    18: ("G729", 8000, 1),
}

_RTPMAP = re.compile(r"([^/\s]{1,64})/([0-9]{1,9})(?:/([0-9]{1,3}))?")


def codecs(media: Media) -> list[Codec]:
    """The payload formats of an RTP ``m=`` line, in its order, duplicates left out.

    A dynamic payload type without an rtpmap means nothing and is left out too. Raises SdpError for malformed entries.
    """
    maps = dict(_by_payload_type(media, "rtpmap"))
    parameters = dict(_by_payload_type(media, "fmtp"))
    out: dict[int, Codec] = {}
    for text in media.formats:
        pt = number(text, "m", high=MAX_PAYLOAD_TYPE)
        if pt in maps:
            name, clock, channels = _rtpmap(maps[pt])
        elif pt in _STATIC:
            name, clock, channels = _STATIC[pt]
        else:
            continue
        out.setdefault(pt, Codec(name, pt, clock, channels, parameters.get(pt, "")))
    return list(out.values())


def _by_payload_type(media: Media, attribute: str) -> list[tuple[int, str]]:
    out = []
    for value in media.values(attribute):
        pt, _, rest = value.strip().partition(" ")
        out.append((number(pt, f"a={attribute}", high=MAX_PAYLOAD_TYPE), rest.strip()))
    return out


def _rtpmap(text: str) -> tuple[str, int, int]:
    match = _RTPMAP.fullmatch(text)
    if match is None:
        raise SdpError("a=rtpmap", f"{text[:80]!r} is not name/clock[/channels]")
    name = match[1].upper()
    clock = number(match[2], "a=rtpmap", low=1)
    # phones that write G722's sampling rate mean the same codec with RFC 3551's clock
    if name == "G722" and clock == 16000:
        clock = 8000
    return name, clock, number(match[3] or "1", "a=rtpmap", low=1)
