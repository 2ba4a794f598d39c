"""What a command may refuse with: one family, each with its HTTP status and words a person understands.

The edge turns them into problem+json (RFC 9457): ``status``, ``title``, ``detail`` and, where one input field is to
blame, ``field``, a JSON Pointer (RFC 6901) into the input such as ``/seats`` or ``/participants/2``.
"""

from __future__ import annotations

from typing import ClassVar


class CommandError(Exception):
    """A command was refused; nothing has changed."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "The command was refused"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class InvalidInputError(CommandError):
    """A field's value cannot be accepted; ``field`` names it."""

    status = 422
    title = "A value is not acceptable"


class NotFoundError(CommandError):
    """What the command is about does not exist."""

    status = 404
    title = "Not found"


class GoneError(CommandError):
    """It existed and is over: an ended conference takes no commands."""

    status = 410
    title = "The conference has ended"


class ConflictError(CommandError):
    """The present state does not allow it: a number in use, a participant already in, all seats taken."""

    status = 409
    title = "The present state does not allow this"


class UnauthenticatedError(CommandError):
    """No valid credentials."""

    status = 401
    title = "Authentication is required"


class ForbiddenError(CommandError):
    """Known, but not allowed to."""

    status = 403
    title = "Not allowed"


class TooManyRequestsError(CommandError):
    """A limit on attempts is reached."""

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after: int, field: str | None = None) -> None:
        super().__init__(detail, field=field)
        self.retry_after = retry_after


class UnavailableError(CommandError):
    """The server cannot do it now, e.g. no mixer has room or the store does not answer."""

    status = 503
    title = "Not available now"

    def __init__(self, detail: str, *, retry_after: int = 10, field: str | None = None) -> None:
        super().__init__(detail, field=field)
        self.retry_after = retry_after
