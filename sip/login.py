"""Digest credentials put to use: a request sent again after 401 or 407 (RFC 3261 section 22.2)."""

from __future__ import annotations

from sip.auth import AuthError, DigestClient
from sip.core import Core
from sip.message import Request, Response

_TRIES = 3
"""First without, then with credentials, and again when the nonce was stale: more is a server gone mad."""


class Login:
    """The attempts one request has."""

    def __init__(self, core: Core, credentials: DigestClient | None) -> None:
        self._core = core
        self._credentials = credentials
        self._left = _TRIES

    def answer(self, request: Request, response: Response, number: int) -> Request | None:
        """The request once more, with credentials and that CSeq number and no Via; None when there is no use in it."""
        if self._credentials is None or response.status not in (401, 407) or self._left == 0:
            return None
        self._left -= 1
        again = Request(request.method, request.uri, request.headers.copy(), request.body)
        again.headers.remove("Via")
        again.headers.set("CSeq", f"{number} {request.method}")
        try:
            again.headers.set(*self._credentials.answer(request, response, self._core.token()))
        except AuthError:
            return None
        return again
