"""Messages out of a byte stream: Content-Length (RFC 3261 section 18.3) and keep-alives (RFC 5626 section 3.5.1)."""

from __future__ import annotations

import re

from sip.errors import SipError

_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:(?:[ \t]|\r\n[ \t])*([^\r\n]*)", re.IGNORECASE)
_END = b"\r\n\r\n"


class FramingError(SipError):
    """The stream cannot be followed any further: close the connection.

    ``messages`` are the whole messages that came before the fault; ``head`` the start line and header fields at fault
    (empty when they never ended), so that a request may still be answered with 400.
    """

    def __init__(self, reason: str, messages: list[bytes], head: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.messages = messages
        self.head = head


class StreamFramer:
    """Takes a connection's bytes as they come, gives whole messages."""

    def __init__(self, max_head: int = 32768, max_body: int = 262144) -> None:
        self._data = bytearray()
        self._searched = 0
        self._max_head = max_head
        self._max_body = max_body
        self._ping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The messages completed by ``data``. Raises FramingError."""
        self._data += data
        messages: list[bytes] = []
        while True:
            self._skip_keep_alives()
            message = self._take(messages)
            if message is None:
                return messages
            messages.append(message)

    def take_ping(self) -> bool:
        """Whether a double-CRLF ping has come since the last call: the caller sends one CRLF back."""
        ping, self._ping = self._ping, False
        return ping

    def _skip_keep_alives(self) -> None:
        """Drop the CRLFs between messages. A lone CRLF is a pong to us, or the first half of a ping."""
        at = 0
        while self._data.startswith(_END, at):
            self._ping = True
            at += 4
        rest = len(self._data) - at
        if rest > 2 and self._data.startswith(b"\r\n", at) and not self._data.startswith(b"\r\n\r", at):
            at += 2
        if at:
            del self._data[:at]
            self._searched = 0

    def _take(self, before: list[bytes]) -> bytes | None:
        end = self._data.find(_END, max(0, self._searched - 3))
        if end < 0:
            self._searched = len(self._data)
            if len(self._data) > self._max_head:
                raise FramingError(f"header fields longer than {self._max_head} bytes", before)
            return None
        if end > self._max_head:
            raise FramingError(f"header fields longer than {self._max_head} bytes", before)
        self._searched = end
        head = bytes(self._data[: end + 4])
        size = end + 4 + self._body_length(head, before)
        if len(self._data) < size:
            return None
        message = bytes(self._data[:size])
        del self._data[:size]
        self._searched = 0
        return message

    def _body_length(self, head: bytes, before: list[bytes]) -> int:
        values = {value.strip() for value in _LENGTH.findall(head)}
        if not values:
            raise FramingError("Content-Length missing", before, head)
        value = values.pop()
        if values or not value.isdigit() or len(value) > 10:
            raise FramingError("bad Content-Length", before, head)
        if int(value) > self._max_body:
            raise FramingError(f"body longer than {self._max_body} bytes", before, head)
        return int(value)
