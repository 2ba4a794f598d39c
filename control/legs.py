"""A phone leg: one SIP call, its negotiation, its place in a mixer, its call detail record."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from control.ports import MediaAddress, MediaFullError, NoMediaAddressError
from control.store.records import LegRecord
from mixer.protocol import LegMedia
from sdp.errors import NoCommonCodecError, NoUsableMediaError, SdpError
from sdp.negotiation import AudioSession, Negotiation, media_family
from sip.events import FailureKind

OVERLOADED = "overloaded"
"""Kind of failure beside sip.events.FailureKind: no mixer takes another leg."""
_SIGNAL = re.compile(rb"^\s*signal\s*=\s*([0-9*#A-D]{1,2})\s*$", re.IGNORECASE | re.MULTILINE)
_NUMBERED_KEYS = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}


class LegState(StrEnum):
    CALLING = "calling"
    """We have sent an INVITE."""
    ANSWERED = "answered"
    """We have answered; the ACK is to come."""
    UP = "up"
    OVER = "over"


@dataclass(slots=True)
class Leg:
    """One leg from its first signalling to its end; only ``control.calls.Calls`` changes it."""

    id: str
    conference: str
    participant: str
    call: str
    """The SIP agent's name of the call."""
    negotiation: Negotiation
    address: MediaAddress
    cdr: LegRecord
    state: LegState
    source_host: str = ""
    """Where the far side's signalling comes from; its media may, too."""
    connected: bool = False
    """The mixer knows the leg."""
    offered: bool = False
    """An offer of ours in a 200 waits for its answer in the ACK."""
    early: bytes | None = None
    """Session description of a provisional response; counts when the 200 brings none."""
    held: bool = False
    keypad: Literal["rtp", "info"] | None = None
    """How this phone sends its keys: some send each in both ways, so the first way seen is the one that counts."""
    expected_since: float = 0.0
    """Unix time since when media must come from the far side."""
    rtcp_bye: float | None = None
    """Unix time of the far side's RTCP BYE."""
    silent: bool = False
    """Nothing is expected from the far side now (on hold)."""


def leg_media(session: AudioSession, source_host: str) -> LegMedia:
    """The agreed session as the mixer takes it. ``source_host``: where the signalling comes from, may be empty."""
    hosts = [session.remote[0]] if session.remote else []
    if source_host:
        hosts.append(source_host)
    return LegMedia(
        codec=session.codec,
        send_pt=session.send_pt,
        receive_pts=session.receive_pts,
        event_pt=session.event_pt,
        remote=session.remote,
        remote_rtcp=session.remote_rtcp,
        rtcp_mux=session.rtcp_mux,
        latch_hosts=tuple(dict.fromkeys(hosts)),
        send=session.send,
        receive=session.receive,
    )


def wanted_family(offer: bytes | None, source_host: str) -> int:
    """4 or 6: the address family of the offer's media, without an offer that of its sender. Raises SdpError."""
    return ipaddress.ip_address(source_host).version if offer is None else media_family(offer)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call cannot be had, in every way it has to be told."""

    kind: str
    """As in the record and in participant.failed."""
    status: int
    reason: str
    headers: dict[str, str]


def refusal_of(error: SdpError | MediaFullError | NoMediaAddressError) -> Refusal:
    """How to refuse a call for that (RFC 3261 sections 20.33, 20.43 and 21.4.26)."""
    if isinstance(error, MediaFullError):
        headers = {"Retry-After": str(error.retry_after)}
        return Refusal(OVERLOADED, 503, f"No room for another call: {error.reason}", headers)
    words = _quotable(error)
    status, reason = 488, "No common codec"
    if isinstance(error, NoCommonCodecError):
        warning = f'305 veche "Incompatible media format: {words}"'
    elif isinstance(error, NoUsableMediaError):
        reason, warning = "No usable audio", f'304 veche "Media type not available: {words}"'
    elif isinstance(error, NoMediaAddressError):
        reason, warning = words[:1].upper() + words[1:], f'301 veche "Incompatible network address formats: {words}"'
    else:
        status, reason, warning = 400, f"Bad session description: {words}", f'399 veche "{words}"'
    return Refusal(FailureKind.UNSUPPORTED, status, reason, {"Warning": warning})


def _quotable(error: Exception) -> str:
    text = "".join(c if c.isprintable() and c not in '"\\' else "'" for c in str(error))
    return text[:120]


def info_digit(content_type: str, body: bytes) -> str | None:
    """The key that an INFO reports, in either of the two usual forms; None when it reports none."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/dtmf-relay":
        match = _SIGNAL.search(body)
        text = match[1].decode("ascii") if match else ""
    elif kind == "application/dtmf":
        text = body.decode("ascii", "replace").strip()
    else:
        return None
    key = _NUMBERED_KEYS.get(text, text).upper()
    return key if len(key) == 1 and key in "0123456789*#ABCD" else None
