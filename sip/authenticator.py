"""Who sent a request: digest credentials checked, guessing slowed down, the refusal written (RFC 3261 section 22)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from sip.auth import DigestServer, Result
from sip.events import RegistrationFailed
from sip.message import Request, Response, response_to
from sip.peer import Peer
from sip.throttle import Throttle

_MD5_ONLY = re.compile(r"baresip v([0-2]|3\.(\d|1[01]))\.|PJSUA v(1|2\.(\d|10))\b")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Either ``account`` is set and the request may go on, or ``response`` refuses or challenges it.

    ``failure`` is there when the credentials were wrong: not for a first challenge, nor for stale ones.
    """

    account: str | None = None
    response: Response | None = None
    failure: RegistrationFailed | None = None


class Authenticator:
    """Digest for phone accounts, shared by the registrar and by INVITEs of accounts.

    Failures count against the account at that address, against the address, and (loosely, as anybody can bring them
    about) against the account; whoever has to wait gets 503 with Retry-After and no check at all.
    """

    def __init__(self, digest: DigestServer) -> None:
        self.digest = digest
        self._pairs = Throttle(free=4)
        self._hosts = Throttle(free=30)
        self._accounts = Throttle(free=100, first=1.0, longest=30.0)

    def authenticate(self, request: Request, peer: Peer, now: float, to_tag: str | None = None) -> Verdict:
        """Check a request's Authorization for our realm (401, the way user agents and registrars challenge)."""
        values = request.headers.get_all("authorization")
        user = self.digest.claimed_user(values)
        if user is None:
            return Verdict(response=self._challenge(request, now, False, to_tag))
        wait = self._wait(user, peer.host, now)
        if wait > 0:
            response = response_to(request, 503, "Too many failed sign-ins", to_tag)
            response.headers.add("Retry-After", str(math.ceil(wait)))
            return Verdict(response=response)
        result = self.digest.check(request.method, request.uri, values, request.body, now)
        if result.ok:
            self._pairs.succeed(_pair(user, peer.host))
            self._accounts.succeed(user)
            return Verdict(account=result.account)
        if result.stale:
            return Verdict(response=self._challenge(request, now, True, to_tag))
        return self._refuse(request, result, peer, now, to_tag)

    def _refuse(self, request: Request, result: Result, peer: Peer, now: float, to_tag: str | None) -> Verdict:
        self._pairs.fail(_pair(result.user, peer.host), now)
        self._hosts.fail(peer.host, now)
        self._accounts.fail(result.user, now)
        # The same answer for an unknown account as for a wrong password, so that numbers cannot be probed.
        return Verdict(
            response=self._challenge(request, now, False, to_tag),
            failure=RegistrationFailed(result.user, (peer.host, peer.port), result.reason),
        )

    def _wait(self, user: str, host: str, now: float) -> float:
        return max(
            self._pairs.wait(_pair(user, host), now), self._hosts.wait(host, now), self._accounts.wait(user, now)
        )

    def _challenge(self, request: Request, now: float, stale: bool, to_tag: str | None) -> Response:
        response = response_to(request, 401, None, to_tag)
        algorithms = ("MD5",) if _knows_only_md5(request) else ("SHA-256", "MD5")
        for value in self.digest.challenge(now, stale, algorithms):
            response.headers.add("WWW-Authenticate", value)
        return response


def _knows_only_md5(request: Request) -> bool:
    """Phones that give up when SHA-256 is among the challenges, instead of taking MD5 as RFC 8760 section 2.4 has it.

    baresip before 3.12 (baresip/re#1103), PJSUA before 2.11 (pjsip/pjproject#2408). MD5 is accepted from anybody, so
    pretending to be one of them wins nothing.
    """
    return _MD5_ONLY.match(request.headers.get("user-agent") or "") is not None


def _pair(user: str, host: str) -> str:
    return f"{user}@{host}"
