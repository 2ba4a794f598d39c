"""What the SIP layers raise on foreign input."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sip.message import Request


class SipError(Exception):
    """Base of everything the sip package raises on its own account."""


class ParseError(SipError, ValueError):
    """Bytes that are not SIP as RFC 3261 section 25 has it.

    ``reason`` names the field and what is wrong with it, fit for a reason phrase. ``request`` holds whatever could be
    read of a broken request, so that a 400 can be sent with ``sip.message.response_to`` (section 8.2.6); it is None for
    responses and for bytes that give nothing to answer to: those are dropped.
    """

    def __init__(self, reason: str, request: Request | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.request = request
