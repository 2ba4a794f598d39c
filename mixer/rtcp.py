"""RTCP: reading what phones report, and writing the reports of many legs at once (RFC 3550 section 6, RFC 5506).

NTP times are 64-bit integers, seconds since 1900 in the upper half; their *middle* is the 32 bits around the point, as
report blocks carry them (units of 1/65536 s). RTP timestamps and jitter are in units of the media clock.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SOURCE_DESCRIPTION: Final = 202
BYE: Final = 203

PACKET_TYPES: Final = range(192, 224)
"""Second bytes that tell RTCP from RTP on one port (RFC 5761 section 4)."""

NTP_EPOCH: Final = 2208988800
"""Seconds from 1900 to 1970."""

_CNAME: Final = 1
_BLOCK: Final = struct.Struct("!IB3xIIII")
_BLOCK_WORDS: Final = 6
_SENDER: Final = struct.Struct("!QIII")
_SENDER_WORDS: Final = 5
_CLOCK_SLACK: Final = 0x10000 // 50
"""A round trip that seems this much below zero (20 ms) is zero seen by two clocks of different rate."""


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What the far side received from the source ``ssrc`` (RFC 3550 section 6.4.1)."""

    ssrc: int
    fraction_lost: float
    """Since its previous report, 0 to 1."""
    cumulative_lost: int
    """Since the beginning; below zero when there were more duplicates than losses."""
    highest_sequence: int
    """Extended by the count of wraps in the upper 16 bits."""
    jitter: int
    last_sr: int
    """Middle of the NTP time in the last sender report it has from us; 0 for none."""
    delay_since_last_sr: int
    """Units of 1/65536 s."""


@dataclass(frozen=True, slots=True)
class Packet:
    """Base of what parse() gives."""


@dataclass(frozen=True, slots=True)
class SenderReport(Packet):
    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...]


@dataclass(frozen=True, slots=True)
class ReceiverReport(Packet):
    ssrc: int
    reports: tuple[ReportBlock, ...]


@dataclass(frozen=True, slots=True)
class Bye(Packet):
    ssrcs: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What n legs have sent, for their sender reports; arrays [n]."""

    ssrc: NDArray[np.uint32]
    timestamp: NDArray[np.uint32]
    """RTP timestamp of the moment of the report."""
    packets: NDArray[np.uint32]
    octets: NDArray[np.uint32]
    """Of payload."""


@dataclass(frozen=True, slots=True)
class Received:
    """What n legs have received, for their report blocks; arrays [n]."""

    ssrc: NDArray[np.uint32]
    fraction_lost: NDArray[np.uint8]
    cumulative_lost: NDArray[np.int32]
    highest_sequence: NDArray[np.uint32]
    jitter: NDArray[np.uint32]
    last_sr: NDArray[np.uint32]
    delay_since_last_sr: NDArray[np.uint32]


# --- reading ---------------------------------------------------------------------------------------------------------


def parse(datagram: bytes) -> list[Packet] | None:
    """The reports and goodbyes of a compound packet, others skipped; None when it is not valid RTCP.

    The checks are RFC 3550 appendix A.2's, save that any packet type may come first (RFC 5506 section 3.4.2).
    """
    if len(datagram) < 4 or len(datagram) % 4:
        return None
    out: list[Packet] = []
    at = 0
    while at < len(datagram):
        first, kind, words = struct.unpack_from("!BBH", datagram, at)
        end = at + 4 * (words + 1)
        if first >> 6 != 2 or kind not in PACKET_TYPES or end > len(datagram):
            return None
        body = datagram[at + 4 : end]
        if first & 0x20:
            if end != len(datagram) or not body or not 0 < body[-1] <= len(body) or body[-1] % 4:
                return None
            body = body[: -body[-1]]
        if kind in (SENDER_REPORT, RECEIVER_REPORT, BYE):
            packet = _read(kind, first & 0x1F, body)
            if packet is None:
                return None
            out.append(packet)
        at = end
    return out


def _read(kind: int, count: int, body: bytes) -> Packet | None:
    """One report or goodbye; None when its body is too short for what it counts."""
    if kind == BYE:
        if len(body) < 4 * count:
            return None
        text = body[4 * count :]
        reason = text[1 : 1 + text[0]].decode("utf-8", "replace") if text else ""
        return Bye(struct.unpack_from(f"!{count}I", body), reason)
    offset = 4 + (_SENDER.size if kind == SENDER_REPORT else 0)
    if len(body) < offset + count * _BLOCK.size:
        return None
    (ssrc,) = struct.unpack_from("!I", body)
    reports = tuple(_read_block(body, offset + i * _BLOCK.size) for i in range(count))
    if kind == RECEIVER_REPORT:
        return ReceiverReport(ssrc, reports)
    ntp, timestamp, packets, octets = _SENDER.unpack_from(body, 4)
    return SenderReport(ssrc, ntp, timestamp, packets, octets, reports)


def _read_block(body: bytes, at: int) -> ReportBlock:
    ssrc, fraction, highest, jitter, last_sr, delay = _BLOCK.unpack_from(body, at)
    lost = int.from_bytes(body[at + 5 : at + 8], "big", signed=True)
    return ReportBlock(ssrc, fraction / 256, lost, highest, jitter, last_sr, delay)


# --- writing ---------------------------------------------------------------------------------------------------------


def report_size(cname_length: int) -> int:
    """Octets of the longest report build_reports() makes with such a CNAME."""
    return 8 + _SENDER.size + _BLOCK.size + 8 + _chunk_size(cname_length)


def build_reports(
    out: NDArray[np.uint8],
    ntp: int,
    sent: Sent,
    received: Received,
    *,
    sender: NDArray[np.bool_],
    heard: NDArray[np.bool_],
    cname: NDArray[np.uint8],
) -> NDArray[np.int32]:
    """Fill row i of ``out`` with leg i's compound report: SR or RR, then SDES with the CNAME. Returns their lengths.

    ``out``: uint8[>= n, >= report_size()], C-contiguous, rows a multiple of 4 long. ``ntp``: the moment of the report.
    ``sender``: bool[n], the leg has sent since its previous report (SR). ``heard``: bool[n], it has received: a report
    block goes in. ``cname``: uint8[k] for all, or uint8[n, k], k at most 255 (RFC 7022).
    """
    n = len(sent.ssrc)
    words = out.view(np.dtype(">u4"))
    lengths = np.zeros(n, np.int32)
    description = _description(sent.ssrc, cname)
    for is_sender in (True, False):
        for has_block in (True, False):
            rows = np.flatnonzero((sender == is_sender) & (heard == has_block))
            if not rows.size:
                continue
            size = 2 + is_sender * _SENDER_WORDS + has_block * _BLOCK_WORDS
            kind = SENDER_REPORT if is_sender else RECEIVER_REPORT
            words[rows, 0] = _header(has_block, kind, size)
            words[rows, 1] = sent.ssrc[rows]
            if is_sender:
                words[rows, 2] = ntp >> 32
                words[rows, 3] = ntp & 0xFFFFFFFF
                words[rows, 4] = sent.timestamp[rows]
                words[rows, 5] = sent.packets[rows]
                words[rows, 6] = sent.octets[rows]
            if has_block:
                _write_blocks(words, rows, size - _BLOCK_WORDS, received)
            end = size + description.shape[1]
            words[rows, size:end] = description[rows]
            lengths[rows] = 4 * end
    return lengths


def bye(ssrc: int, cname: bytes = b"", reason: str = "") -> bytes:
    """The compound packet that says a source is gone (RFC 3550 section 6.6)."""
    report = struct.pack("!II", _header(0, RECEIVER_REPORT, 2), ssrc)
    if cname:
        report += _description(np.array([ssrc], np.uint32), np.frombuffer(cname, np.uint8)).tobytes()
    text = reason.encode()[:255]
    if text:
        text = bytes([len(text)]) + text
        text += bytes(-len(text) % 4)
    return report + struct.pack("!II", _header(1, BYE, 2 + len(text) // 4), ssrc) + text


def _header(count: int, kind: int, words: int) -> int:
    return 2 << 30 | count << 24 | kind << 16 | words - 1


def _write_blocks(words: NDArray[np.generic], rows: NDArray[np.intp], at: int, received: Received) -> None:
    lost = received.cumulative_lost[rows].astype(np.int64) & 0xFFFFFF
    columns = (
        received.ssrc[rows],
        received.fraction_lost[rows].astype(np.int64) << 24 | lost,
        received.highest_sequence[rows],
        received.jitter[rows],
        received.last_sr[rows],
        received.delay_since_last_sr[rows],
    )
    for offset, column in enumerate(columns):
        words[rows, at + offset] = column


def _chunk_size(cname_length: int) -> int:
    """Octets of a CNAME item and the null octets after it, at least one (RFC 3550 section 6.5)."""
    return (2 + cname_length) // 4 * 4 + 4


def _description(ssrc: NDArray[np.uint32], cname: NDArray[np.uint8]) -> NDArray[np.generic]:
    """SDES packets [n, words], big-endian."""
    length = cname.shape[-1]
    items = np.zeros((len(ssrc), _chunk_size(length)), np.uint8)
    items[:, 0] = _CNAME
    items[:, 1] = length
    items[:, 2 : 2 + length] = cname
    packets = np.empty((len(ssrc), 2 + items.shape[1] // 4), np.dtype(">u4"))
    packets[:, 0] = _header(1, SOURCE_DESCRIPTION, packets.shape[1])
    packets[:, 1] = ssrc
    packets[:, 2:] = items.view(np.dtype(">u4"))
    return packets


# --- time and loss ---------------------------------------------------------------------------------------------------


def ntp_time(unix: float) -> int:
    """64-bit NTP time of a Unix time in seconds."""
    return int((unix + NTP_EPOCH) * 0x100000000) & 0xFFFFFFFFFFFFFFFF


def middle(ntp: int) -> int:
    """The middle 32 bits of a 64-bit NTP time."""
    return (ntp >> 16) & 0xFFFFFFFF


def round_trip(arrival: int, block: ReportBlock) -> float | None:
    """Seconds to the far side and back, by a report block that came in at ``arrival`` (middle of the NTP time).

    None when it has no sender report from us yet, or names one that cannot be ours (RFC 3550 section 6.4.1).
    """
    if block.last_sr == 0:
        return None
    trip = (arrival - block.last_sr - block.delay_since_last_sr + 0x80000000 & 0xFFFFFFFF) - 0x80000000
    if trip < -_CLOCK_SLACK:
        return None
    return max(trip, 0) / 0x10000


def fraction_lost(
    expected: NDArray[np.int64],
    received: NDArray[np.int64],
    expected_prior: NDArray[np.int64],
    received_prior: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Loss since the previous report in 1/256, by packet counts since the beginning (RFC 3550 appendix A.3).

    ``expected`` is the extended highest sequence number minus the first, plus 1; the priors are the counts at the
    previous report. Without packets expected, or with more duplicates than losses, it is 0.
    """
    due = expected - expected_prior
    lost = np.maximum(due - (received - received_prior), 0)
    fraction: NDArray[np.uint8] = np.minimum((lost << 8) // np.maximum(due, 1), 255).astype(np.uint8)
    return fraction


def cumulative_lost(expected: NDArray[np.int64], received: NDArray[np.int64]) -> NDArray[np.int32]:
    """Packets lost since the beginning, within what 24 bits hold (RFC 3550 appendix A.3)."""
    lost: NDArray[np.int32] = np.clip(expected - received, -0x800000, 0x7FFFFF).astype(np.int32)
    return lost
