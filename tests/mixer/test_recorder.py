"""The recorder as the process it is: several conferences, kill -9, a full disk, a recorder that takes over."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.mix import sum_rooms
from mixer.protocol import Decoder, Message, Ping, Pong, Ready, Shutdown, encode
from mixer.recorder_protocol import (
    PauseRecording,
    RecordingEnded,
    RecordingFailed,
    RecordingStarted,
    ResumeRecording,
    StartRecording,
    StopRecording,
)
from mixer.tap import Tap, open_tap
from tests.mixer.recordings import read, rms, seconds, sine

M = TypeVar("M", bound=Message)
PATIENCE = 30.0
"""Longest wait for an answer, on a loaded machine too."""


class Studio:
    """A recorder process, as control and a mixer see it. The tap outlives the recorder."""

    def __init__(self) -> None:
        self.mixers_end, self._recorders_end = open_tap()
        self.tap = Tap(self.mixers_end)
        self.tick = 1_000_000
        self.process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._waiting: list[Message] = []

    def start(self, before: Callable[[], None] | None = None) -> None:
        """A new process; ``before`` is called in it before it runs."""
        ours, theirs = socket.socketpair()
        fds = [theirs.fileno(), self._recorders_end.fileno()]
        command = [sys.executable, "-P", "-m", "mixer.recorder", *map(str, fds)]
        self.process = subprocess.Popen(command, pass_fds=fds, preexec_fn=before, stderr=subprocess.PIPE)
        theirs.close()
        self._control, self._decoder, self._waiting = ours, Decoder(), []
        assert self.expect(Ready).pid == self.process.pid

    def tell(self, *messages: Message) -> None:
        assert self._control is not None
        self._control.sendall(b"".join(map(encode, messages)))

    def expect(self, kind: type[M]) -> M:
        """The next message, which must be of that kind."""
        assert self._control is not None
        deadline = time.monotonic() + PATIENCE
        while not self._waiting:
            assert select.select([self._control], [], [], deadline - time.monotonic())[0], f"no {kind.__name__}"
            data = self._control.recv(1 << 16)
            assert data, "the recorder is gone"
            self._waiting += self._decoder.feed(data)
        message = self._waiting.pop(0)
        assert isinstance(message, kind), message
        return message

    def record(self, name: str, stream: int, path: Path, kind: str = "opus", **more: object) -> None:
        self.tell(StartRecording(name, stream, str(path), kind, **more))  # type: ignore[arg-type]
        assert self.expect(RecordingStarted) == RecordingStarted(name, int(more.get("part", 1)), str(path))  # type: ignore[call-overload]
        self.tap.record_room(stream, stream)

    def play(self, ticks: int, tones: dict[int, float], rate: int = 48000) -> None:
        """Tones by conference for so many ticks; as fast as the recorder takes them, so that none is dropped."""
        rooms = np.array(sorted(tones), np.int64)
        for _ in range(ticks):
            voices: NDArray[np.float32] = np.stack([sine(rate, self.tick, tones[room]) for room in rooms]).astype(
                np.float32
            )
            self.tap.take(rate, sum_rooms(64, rooms, rooms, voices))
            select.select([], [self.mixers_end], [], PATIENCE)
            self.tap.send(self.tick)
            self.tick += 1

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        for sock in (self._control, self.mixers_end, self._recorders_end):
            if sock is not None:
                sock.close()


def until_playable(path: Path, length: float) -> None:
    """Wait until so many seconds of what is being recorded could be played."""
    deadline = time.monotonic() + PATIENCE
    while path.stat().st_size < 1000 or seconds(path) < length:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def studio() -> Iterator[Studio]:
    made = Studio()
    made.start()
    yield made
    made.close()


def test_b27_several_conferences_are_recorded_at_once_each_to_its_own_file(studio: Studio, tmp_path: Path) -> None:
    tones = {1: 440.0, 2: 880.0, 3: 1320.0}
    for stream in tones:
        studio.record(f"r{stream}", stream, tmp_path / f"{stream}.opus")
    studio.play(150, tones)
    for stream, tone in tones.items():
        studio.tell(StopRecording(f"r{stream}"))
        event = studio.expect(RecordingEnded)
        path = tmp_path / f"{stream}.opus"
        assert event == RecordingEnded(f"r{stream}", 1, str(path), "stopped", 3.0, path.stat().st_size, 0.0, 1_000_000)
        samples, rate = read(path)
        assert abs(len(samples) / rate - 3) <= 0.02
        steady = samples[rate : 2 * rate]
        assert rms(steady) == pytest.approx(8000 / np.sqrt(2), rel=0.05)
        assert np.argmax(np.abs(np.fft.rfft(steady))) == pytest.approx(tone, abs=1)
    assert studio.tap.dropped == 0


def test_b27_a_recording_is_paused_resumed_and_stopped(studio: Studio, tmp_path: Path) -> None:
    studio.record("r", 1, tmp_path / "a.wav", "wav")
    studio.play(50, {1: 440})
    studio.tell(PauseRecording("r"), Ping(1))
    studio.expect(Pong)
    studio.play(100, {1: 440})
    studio.tell(ResumeRecording("r"), Ping(2))
    studio.expect(Pong)
    studio.play(50, {1: 440})
    studio.tell(StopRecording("r"))
    assert studio.expect(RecordingEnded).seconds == pytest.approx(2, abs=0.021)
    assert seconds(tmp_path / "a.wav") == pytest.approx(2, abs=0.021)


@pytest.mark.parametrize("kind", ["opus", "wav"])
def test_b27_kill_9_leaves_all_but_the_last_second_playable(studio: Studio, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    studio.record("r", 1, path, kind)
    studio.play(500, {1: 440})
    until_playable(path, 9)
    assert studio.process is not None
    studio.process.send_signal(signal.SIGKILL)
    studio.process.wait()
    samples, rate = read(path)
    assert 9 <= len(samples) / rate <= 10
    assert rms(samples[rate : 9 * rate]) == pytest.approx(8000 / np.sqrt(2), rel=0.05)


def test_n13_a_recorder_that_takes_over_goes_on_with_a_second_part(studio: Studio, tmp_path: Path) -> None:
    studio.record("r", 1, tmp_path / "a.opus")
    studio.play(200, {1: 440})
    until_playable(tmp_path / "a.opus", 3)
    assert studio.process is not None
    studio.process.kill()
    studio.process.communicate()
    studio.play(40, {1: 440})
    studio.start()
    studio.record("r", 1, tmp_path / "a.part2.opus", part=2)
    studio.play(110, {1: 440})
    studio.tell(StopRecording("r"))
    event = studio.expect(RecordingEnded)
    assert (event.part, event.missing_seconds) == (2, 0.0)
    assert event.first_tick <= 1_000_200, "with what was sent meanwhile"
    assert event.first_tick + round(event.seconds * 50) == studio.tick
    assert abs(seconds(tmp_path / "a.part2.opus") - event.seconds) <= 0.02


@pytest.mark.parametrize("kind", ["opus", "wav"])
def test_b27_a_full_disk_ends_one_recording_with_an_event_and_the_rest_goes_on(tmp_path: Path, kind: str) -> None:
    studio = Studio()
    most = {"opus": 20_000, "wav": 200_000}[kind]
    studio.start(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    try:
        studio.record("full", 1, tmp_path / "full", kind)
        studio.record("other", 2, tmp_path / "other", kind, rate=8000)
        studio.play({"opus": 300, "wav": 150}[kind], {1: 440})
        failed = studio.expect(RecordingFailed)
        assert (failed.recording, failed.disk_full) == ("full", True)
        assert failed.bytes == (tmp_path / "full").stat().st_size <= most
        assert failed.bytes > most / 2
        assert seconds(tmp_path / "full") > 1, "what was written can be played"
        studio.play(25, {2: 440})
        studio.tell(StopRecording("full"), StopRecording("other"))
        assert studio.expect(RecordingEnded).recording == "other"
    finally:
        studio.close()


def mounted(folder: Path) -> bool:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    return os.geteuid() == 0 and subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_b27_a_tiny_disk_that_runs_full_is_told_as_that(studio: Studio, tmp_path: Path) -> None:
    if not mounted(tmp_path):
        pytest.skip("a file system cannot be mounted here")
    try:
        studio.record("r", 1, tmp_path / "a.opus")
        studio.play(1200, {1: 440})
        failed = studio.expect(RecordingFailed)
        assert failed.disk_full
        assert failed.reason == "No space left on device"
        assert 5 < seconds(tmp_path / "a.opus") <= failed.seconds + 0.02
        studio.tell(StartRecording("again", 2, str(tmp_path / "b.opus")))
        assert studio.expect(RecordingFailed).disk_full
        assert [path.name for path in tmp_path.iterdir()] == ["a.opus"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_b27_a_recording_that_cannot_begin_says_why(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"")
    studio.tell(
        StartRecording("a", 1, str(tmp_path / "nowhere" / "a.opus")),
        StartRecording("b", 2, str(tmp_path / "there")),
        StartRecording("c", 3, str(tmp_path / "c.mp3"), "mp3"),
        StartRecording("d", 4, "/proc/version/d.opus"),
    )
    reasons = [studio.expect(RecordingFailed) for _ in range(4)]
    assert [failed.recording for failed in reasons] == ["a", "b", "c", "d"]
    assert [failed.reason for failed in reasons] == [
        "No such file or directory",
        "File exists",
        "format: 'mp3' is none of opus, wav",
        "Not a directory",
    ]
    assert not any(failed.disk_full for failed in reasons)
    studio.record("ok", 5, tmp_path / "ok.opus")
    studio.tell(StartRecording("twice", 5, str(tmp_path / "twice.opus")))
    assert studio.expect(RecordingFailed).reason == "stream: 5 is being recorded already"


def test_b27_a_recording_ends_by_itself_when_it_is_as_long_as_it_may_be(studio: Studio, tmp_path: Path) -> None:
    studio.record("r", 1, tmp_path / "a.wav", "wav", max_seconds=1)
    studio.play(60, {1: 440})
    event = studio.expect(RecordingEnded)
    assert (event.reason, event.seconds) == ("max_duration", 1.0)
    studio.tell(StopRecording("r"), Ping(3))
    assert studio.expect(Pong).token == 3


@pytest.mark.parametrize("farewell", [True, False])
def test_b27_when_control_ends_or_is_gone_every_file_is_finished(
    studio: Studio, tmp_path: Path, farewell: bool
) -> None:
    studio.record("a", 1, tmp_path / "a.opus")
    studio.record("b", 2, tmp_path / "b.wav", "wav")
    studio.play(70, {1: 440, 2: 880})
    if farewell:
        studio.tell(Shutdown())
        assert [studio.expect(RecordingEnded).reason for _ in range(2)] == ["shutdown", "shutdown"]
    else:
        assert studio._control is not None
        studio._control.close()
    assert studio.process is not None
    assert studio.process.wait(PATIENCE) == 0
    for path in (tmp_path / "a.opus", tmp_path / "b.wav"):
        assert abs(seconds(path) - 1.4) <= 0.02


def test_a_recorder_told_nonsense_finishes_its_files_and_says_so(studio: Studio, tmp_path: Path) -> None:
    studio.record("a", 1, tmp_path / "a.opus")
    studio.play(50, {1: 440})
    assert studio._control is not None
    studio._control.sendall(b"\0\0\0\1\xc1")
    assert studio.process is not None
    assert studio.process.wait(PATIENCE) == 1
    assert studio.process.stderr is not None
    assert b"unintelligible" in studio.process.stderr.read()
    assert abs(seconds(tmp_path / "a.opus") - 1) <= 0.02


def test_datagrams_that_are_none_of_ours_do_no_harm(studio: Studio, tmp_path: Path) -> None:
    studio.record("a", 1, tmp_path / "a.opus")
    for junk in (b"x", b"y" * 16, b"z" * 17, b"\0" * 3000):
        studio.mixers_end.send(junk)
    studio.play(50, {1: 440})
    studio.tell(StopRecording("a"))
    assert studio.expect(RecordingEnded).seconds == 1.0


def test_a_terminals_interrupt_does_not_end_a_recording(studio: Studio, tmp_path: Path) -> None:
    studio.record("a", 1, tmp_path / "a.opus")
    assert studio.process is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        studio.process.send_signal(number)
    studio.play(50, {1: 440})
    studio.tell(StopRecording("a"))
    assert studio.expect(RecordingEnded).seconds == 1.0
