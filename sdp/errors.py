"""What can be wrong with a session description."""

from __future__ import annotations


class SdpError(ValueError):
    """A session description cannot be understood or used.

    ``field`` names the line or attribute at fault (``m``, ``c``, ``a=rtpmap``), ``reason`` says what is wrong with it.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NoUsableMediaError(SdpError):
    """The description is well-formed, but holds no audio we could take part in (488 Not Acceptable Here)."""


class NoCommonCodecError(NoUsableMediaError):
    """There is audio, but in no codec that we share."""
