"""One recording: as long as real time, at the right level, playable whatever ends it."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.recorder_protocol import RecordingEnded, StartRecording, part_path
from mixer.recorder_track import LimitReached, Track
from tests.mixer.recordings import read, rms, seconds, sine
from tests.mixer.sound import sharpest_bend

START = 4_000_000
FORMATS = ["opus", "wav"]
SILENCE: NDArray[np.int16] = np.zeros(0, np.int16)


def start(path: Path, kind: str = "wav", **more: object) -> Track:
    return Track(StartRecording("r", 1, str(path), kind, **more))  # type: ignore[arg-type]


def feed(track: Track, ticks: range, rate: int = 48000, frequency: float = 440.0) -> None:
    for tick in ticks:
        track.take(START + tick, rate, sine(rate, tick, frequency))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_b27_a_recording_has_the_length_and_level_of_what_was_said(tmp_path: Path, kind: str, rate: int) -> None:
    track = start(tmp_path / "a", kind, rate=rate)
    feed(track, range(150), rate)
    event = track.end("stopped")
    size = (tmp_path / "a").stat().st_size
    assert event == RecordingEnded("r", 1, str(tmp_path / "a"), "stopped", 3.0, size, 0.0, START)
    samples, _ = read(tmp_path / "a")
    assert abs(seconds(tmp_path / "a") - 3) <= 0.02
    assert rms(samples[len(samples) // 3 :]) == pytest.approx(8000 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("kind", FORMATS)
def test_b27_ticks_that_never_came_are_silence_so_that_the_length_is_real_time(tmp_path: Path, kind: str) -> None:
    track = start(tmp_path / "a", kind)
    feed(track, range(50))
    feed(track, range(150, 200))
    event = track.end("stopped")
    assert (event.seconds, event.missing_seconds) == (4.0, 2.0)
    samples, rate = read(tmp_path / "a")
    assert abs(len(samples) / rate - 4) <= 0.02
    assert rms(samples[int(1.2 * rate) : int(2.8 * rate)]) < 5
    assert rms(samples[int(3.2 * rate) :]) > 5000


def test_b27_late_and_repeated_ticks_change_nothing(tmp_path: Path) -> None:
    track = start(tmp_path / "a")
    for tick in (0, 1, 1, 3, 2, 0, 4):
        feed(track, range(tick, tick + 1))
    assert track.end("stopped").seconds == 0.1
    samples, _ = read(tmp_path / "a")
    expected = np.concatenate([sine(48000, tick) for tick in range(5)])
    expected[2 * 960 : 3 * 960] = 0
    assert np.array_equal(samples, expected)


def test_b27_ticks_counted_from_a_new_beginning_do_not_end_the_recording(tmp_path: Path) -> None:
    track = start(tmp_path / "a")
    feed(track, range(50))
    feed(track, range(-START, -START + 50))
    event = track.end("stopped")
    assert (event.seconds, event.first_tick) == (2.0, START)


def test_b27_a_conference_that_becomes_wideband_goes_on_in_the_same_file(tmp_path: Path) -> None:
    track = start(tmp_path / "a")
    feed(track, range(100), 8000)
    for tick in range(100, 150):
        track.take(START + tick, 0, SILENCE)
    feed(track, range(150, 250), 16000)
    feed(track, range(250, 350), 48000)
    track.end("stopped")
    samples, rate = read(tmp_path / "a")
    assert len(samples) == 7 * rate
    for begin, end in ((0.1, 1.9), (3.1, 4.9), (5.1, 7)):
        assert rms(samples[int(begin * rate) : int(end * rate)]) == pytest.approx(8000 / np.sqrt(2), rel=0.02)
    assert rms(samples[int(2.1 * rate) : int(2.9 * rate)]) == 0


def test_b27_what_is_said_in_a_pause_is_not_in_the_file_and_the_seam_does_not_click(tmp_path: Path) -> None:
    track = start(tmp_path / "a")
    feed(track, range(50))
    track.pause()
    track.pause()
    feed(track, range(50, 51))
    feed(track, range(51, 500), frequency=3000)
    track.resume()
    track.resume()
    feed(track, range(500, 550))
    assert track.end("stopped").seconds == pytest.approx(2.0, abs=0.021), "the fade out is one frame more"
    samples, rate = read(tmp_path / "a")
    spectrum = np.abs(np.fft.rfft(samples)) / np.abs(np.fft.rfft(samples)).max()
    assert spectrum[int(2900 * 2.02) : int(3100 * 2.02)].max() < 0.001
    assert rms(samples[:rate]) == pytest.approx(8000 / np.sqrt(2), rel=0.02)
    assert sharpest_bend(samples.astype(np.float32)) < 8000 * (2 * np.pi * 440 / rate) ** 2 * 1.3


def test_b27_pausing_and_resuming_before_the_next_frame_leaves_no_trace(tmp_path: Path) -> None:
    track = start(tmp_path / "a")
    feed(track, range(10))
    track.pause()
    track.resume()
    feed(track, range(10, 20))
    track.end("stopped")
    assert np.array_equal(read(tmp_path / "a")[0], np.concatenate([sine(48000, tick) for tick in range(20)]))


@pytest.mark.parametrize("kind", FORMATS)
def test_b27_a_recording_without_a_single_frame_is_an_empty_but_whole_file(tmp_path: Path, kind: str) -> None:
    event = start(tmp_path / "a", kind).end("stopped")
    assert (event.seconds, event.first_tick) == (0, 0)
    assert seconds(tmp_path / "a") <= 0.02


@pytest.mark.parametrize("kind", FORMATS)
def test_a_limit_of_duration_ends_the_recording_exactly_there(tmp_path: Path, kind: str) -> None:
    track = start(tmp_path / "a", kind, max_seconds=1.5)
    with pytest.raises(LimitReached, match="max_duration"):
        feed(track, range(100))
    assert track.end("max_duration").seconds == 1.5
    assert abs(seconds(tmp_path / "a") - 1.5) <= 0.02


@pytest.mark.parametrize("kind", FORMATS)
def test_a_limit_of_size_is_kept_and_not_by_far(tmp_path: Path, kind: str) -> None:
    most = {"opus": 30_000, "wav": 300_000}[kind]
    track = start(tmp_path / "a", kind, max_bytes=most)
    with pytest.raises(LimitReached, match="max_size"):
        feed(track, range(3000))
    assert track.end("max_size").bytes == (tmp_path / "a").stat().st_size
    assert 0.8 * most < (tmp_path / "a").stat().st_size <= most


def test_an_opus_file_has_its_header_from_its_first_moment(tmp_path: Path) -> None:
    track = start(tmp_path / "a", "opus")
    begin = (tmp_path / "a").read_bytes()
    assert begin.startswith(b"OggS")
    assert b"OpusHead" in begin
    track.end("stopped")


def test_an_earlier_recording_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        start(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"precious"


@pytest.mark.parametrize(("kind", "rate", "field"), [("mp3", 48000, "format"), ("opus", 44100, "rate")])
def test_an_unknown_format_or_rate_is_named_and_leaves_no_file(
    tmp_path: Path, kind: str, rate: int, field: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        start(tmp_path / "a", kind, rate=rate)
    assert not list(tmp_path.iterdir())


def test_frames_that_are_not_20_ms_long_are_silence(tmp_path: Path) -> None:
    track = start(tmp_path / "a")
    feed(track, range(2))
    track.take(START + 2, 48000, np.ones(7, np.int16))
    track.take(START + 3, 44100, np.ones(7, np.int16))
    feed(track, range(4, 6))
    assert track.end("stopped").seconds == 0.12


def test_a_disk_with_less_free_than_must_be_left_counts_as_full(tmp_path: Path) -> None:
    track = start(tmp_path / "a", least_free_bytes=1 << 60)
    with pytest.raises(OSError, match="Less disk space") as caught:
        track.check_disk()
    assert caught.value.errno == errno.ENOSPC
    track.end("stopped")
    enough = start(tmp_path / "b", least_free_bytes=1)
    enough.check_disk()
    enough.end("stopped")


def test_parts_of_a_recording_have_names_of_their_own() -> None:
    assert [part_path("/data/x.opus", part) for part in (1, 2, 13)] == [
        "/data/x.opus",
        "/data/x.part2.opus",
        "/data/x.part13.opus",
    ]
