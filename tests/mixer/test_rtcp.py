"""RTCP compound packets, golden and broken, and the arithmetic of loss and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixer import rtcp
from mixer.rtcp import Bye, Received, ReceiverReport, ReportBlock, SenderReport, Sent

SR = bytes.fromhex(
    "81c8000c 11223344 e5a1b2c3 80000000 00003e80 00000064 00003e80"
    "55667788 40fffffe 00010203 00000050 b2c38000 00018000"
)
SDES = bytes.fromhex("81ca0003 11223344 01056140622e6300")


def u32(*values: int) -> Any:
    return np.array(values, np.uint32)


def columns(n: int) -> tuple[Sent, Received]:
    index = np.arange(n, dtype=np.uint32)
    sent = Sent(index + 1000, index + 160, index + 7, index * 160)
    received = Received(
        ssrc=index + 5000,
        fraction_lost=(index % 256).astype(np.uint8),
        cumulative_lost=(index.astype(np.int32) - 2),
        highest_sequence=index + 0x10000,
        jitter=index,
        last_sr=index + 0xABCD0000,
        delay_since_last_sr=index * 3,
    )
    return sent, received


def test_a_sender_report_is_understood() -> None:
    (report,) = rtcp.parse(SR + SDES) or []
    block = ReportBlock(0x55667788, 0.25, -2, 0x10203, 0x50, 0xB2C38000, 0x18000)
    assert report == SenderReport(0x11223344, 0xE5A1B2C380000000, 16000, 100, 16000, (block,))


def test_a_receiver_report_without_blocks_and_a_bye_with_its_reason_are_understood() -> None:
    datagram = bytes.fromhex("80c90001 11223344 81cb0002 11223344 03627965")
    assert rtcp.parse(datagram) == [ReceiverReport(0x11223344, ()), Bye((0x11223344,), "bye")]


def test_a_bye_alone_is_understood_as_reduced_size_rtcp() -> None:
    assert rtcp.parse(bytes.fromhex("82cb0002 00000001 00000002")) == [Bye((1, 2), "")]


def test_feedback_and_unknown_packets_are_skipped() -> None:
    feedback = bytes.fromhex("81ce0002 00000001 00000002")
    assert rtcp.parse(feedback) == []
    assert rtcp.parse(SR + feedback) == rtcp.parse(SR)


def test_padding_of_the_last_packet_is_taken_off() -> None:
    assert rtcp.parse(bytes.fromhex("a0c90002 11223344 00000004")) == [ReceiverReport(0x11223344, ())]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x80\xc9\x00",
        SR[:-1],
        SR[:-4],
        SR + b"\x00\x00\x00\x00",
        b"\x41" + SR[1:],
        SR[:1] + b"\x08" + SR[2:],
        b"\x82" + SR[1:],
        b"\x83\xcb\x00\x02" + bytes(8),
        bytes.fromhex("a0c90002 11223344 00000004") + SR,
        bytes.fromhex("a0c90002 11223344 00000000"),
        bytes.fromhex("a0c90002 11223344 0000000c"),
        bytes.fromhex("a0c90002 11223344 00000003"),
        bytes.fromhex("80c90000"),
    ],
    ids=[
        "empty", "three bytes", "cut", "cut by a word", "a word too many", "version 1", "not RTCP", "a block too few",
        "a source too few", "padding before the end", "no padding", "only padding", "odd padding", "no SSRC",
    ],
)  # fmt: skip
def test_what_is_not_valid_rtcp_is_refused(broken: bytes) -> None:
    assert rtcp.parse(broken) is None


@given(st.binary(max_size=120) | st.binary(max_size=60).map(lambda tail: SR + tail))
def test_foreign_bytes_never_raise(datagram: bytes) -> None:
    parsed = rtcp.parse(datagram)
    assert parsed is None or all(isinstance(packet, rtcp.Packet) for packet in parsed)


@given(st.integers(0, len(SR + SDES) * 8 - 1))
def test_a_flipped_bit_never_raises(bit: int) -> None:
    datagram = bytearray(SR + SDES)
    datagram[bit // 8] ^= 1 << bit % 8
    rtcp.parse(bytes(datagram))


def test_reports_of_many_legs_read_back_as_written() -> None:
    n = 600
    sent, received = columns(n)
    sender, heard = np.arange(n) % 2 == 0, np.arange(n) % 3 == 0
    cname = np.frombuffer(b"abcdef@veche", np.uint8)
    out = np.full((n, rtcp.report_size(len(cname))), 0xEE, np.uint8)
    lengths = rtcp.build_reports(out, 0x0102030405060708, sent, received, sender=sender, heard=heard, cname=cname)
    for i in range(n):
        parsed = rtcp.parse(out[i, : lengths[i]].tobytes())
        block = ReportBlock(5000 + i, i % 256 / 256, i - 2, 0x10000 + i, i, 0xABCD0000 + i, 3 * i)
        blocks = (block,) if heard[i] else ()
        if sender[i]:
            assert parsed == [SenderReport(1000 + i, 0x0102030405060708, 160 + i, 7 + i, 160 * i, blocks)]
        else:
            assert parsed == [ReceiverReport(1000 + i, blocks)]


@pytest.mark.parametrize(
    ("cname", "description"),
    [
        (b"a", "81ca0002 000003e8 010161 00"),
        (b"ab", "81ca0003 000003e8 01026162 00000000"),
        (b"a@b.c", "81ca0003 000003e8 01056140622e63 00"),
        (b"a@bc.d", "81ca0004 000003e8 01066140 62632e64 00000000"),
    ],
)
def test_the_cname_follows_in_a_source_description(cname: bytes, description: str) -> None:
    sent, received = columns(1)
    out = np.full((1, rtcp.report_size(len(cname))), 0xEE, np.uint8)
    no = np.zeros(1, np.bool_)
    item = np.frombuffer(cname, np.uint8)
    (length,) = rtcp.build_reports(out, 0, sent, received, sender=no, heard=no, cname=item)
    assert out[0, :length].tobytes() == bytes.fromhex("80c90001 000003e8" + description)


def test_each_leg_can_have_a_cname_of_its_own_and_the_longest_report_fills_the_row() -> None:
    sent, received = columns(2)
    cname = np.array([[97, 98, 99], [100, 101, 102]], np.uint8)
    out = np.empty((2, rtcp.report_size(3)), np.uint8)
    yes = np.ones(2, np.bool_)
    lengths = rtcp.build_reports(out, 0, sent, received, sender=yes, heard=yes, cname=cname)
    assert lengths.tolist() == [out.shape[1]] * 2
    assert [row.tobytes()[-6:-3] for row in out] == [b"abc", b"def"]


def test_our_bye_is_a_compound_packet() -> None:
    assert rtcp.bye(7) == bytes.fromhex("80c90001 00000007 81cb0001 00000007")
    assert rtcp.parse(rtcp.bye(7, b"x@veche", "конец")) == [ReceiverReport(7, ()), Bye((7,), "конец")]


def test_ntp_time_counts_from_1900_and_its_middle_is_what_blocks_carry() -> None:
    # RFC 3550 section 6.4.1, figure 2: 0xb44db705:20000000 is Thu Nov 10 1995 11:33:25.125 UTC.
    assert rtcp.ntp_time(0xB44DB705 - rtcp.NTP_EPOCH + 0.125) == 0xB44DB70520000000
    assert rtcp.middle(0xB44DB70520000000) == 0xB7052000


def test_the_round_trip_is_that_of_the_rfc_example() -> None:
    # RFC 3550 section 6.4.1, figure 2: 6.125 seconds.
    block = ReportBlock(1, 0, 0, 0, 0, last_sr=0xB7052000, delay_since_last_sr=0x00054000)
    assert rtcp.round_trip(0xB7108000, block) == 6.125


@pytest.mark.parametrize(
    ("arrival", "last_sr", "delay", "trip"),
    [
        (0x00000800, 0xFFFFF800, 0x800, 0x800 / 65536),
        (0x10000, 0, 0, None),
        (0x10000, 0x10000, 2, 0.0),
        (0x10000, 0x20000, 0, None),
    ],
    ids=["wraps", "no sender report yet", "clocks apart", "not ours"],
)
def test_the_round_trip_survives_odd_reports(arrival: int, last_sr: int, delay: int, trip: float | None) -> None:
    assert rtcp.round_trip(arrival, ReportBlock(1, 0, 0, 0, 0, last_sr, delay)) == trip


def test_b33_loss_is_counted_as_the_rfc_does() -> None:
    # Per leg: nothing lost, a tenth, all, duplicates outnumber losses, nothing expected.
    expected = np.array([200, 200, 200, 200, 100])
    received = np.array([200, 190, 100, 205, 100])
    expected_prior, received_prior = np.full(5, 100), np.full(5, 100)
    fraction = rtcp.fraction_lost(expected, received, expected_prior, received_prior)
    assert fraction.tolist() == [0, 25, 255, 0, 0]
    assert rtcp.cumulative_lost(expected, received).tolist() == [0, 10, 100, -5, 0]


def test_cumulative_loss_stays_within_24_bits() -> None:
    assert rtcp.cumulative_lost(np.array([1 << 30, 0]), np.array([0, 1 << 30])).tolist() == [0x7FFFFF, -0x800000]
