"""Outside lines: which trunk takes a number, and how the number is written there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sip.auth import DigestClient
from sip.peer import Peer
from sip.uri import SipUri

_NUMBER = re.compile(r"\+?[0-9*#]{1,32}")


@dataclass(frozen=True, slots=True)
class PrefixRule:
    """A number that begins with ``match`` loses ``strip`` characters in front and gets ``add`` there."""

    match: str = ""
    strip: int = 0
    add: str = ""

    def __post_init__(self) -> None:
        if self.strip < 0:
            raise ValueError("strip must not be negative")

    def apply(self, number: str) -> str:
        return self.add + number[self.strip :]


@dataclass(frozen=True, slots=True)
class Trunk:
    """One provider. ``host`` is an address or name without brackets; ``user`` empty means no credentials.

    ``from_user`` replaces the caller's number in From when set. No ``prefixes`` at all: the trunk takes no number.
    """

    name: str
    host: str
    port: int = 5060
    transport: str = "udp"
    user: str = ""
    password: str = field(default="", repr=False)
    from_user: str = ""
    prefixes: tuple[PrefixRule, ...] = (PrefixRule(),)

    def rule(self, number: str) -> PrefixRule | None:
        """The rule with the longest match, the first of equals."""
        matching = [rule for rule in self.prefixes if number.startswith(rule.match)]
        return max(matching, key=lambda rule: len(rule.match), default=None)


@dataclass(frozen=True, slots=True)
class Route:
    """How an outgoing call reaches its number."""

    trunk: Trunk
    uri: str
    """Request-URI and To."""
    peer: Peer
    client: DigestClient | None
    """Answers the trunk's challenges; kept over calls, so that its nonce counts go on."""

    @property
    def from_user(self) -> str:
        """The user part of From, empty to keep the caller's."""
        return self.trunk.from_user


class Trunks:
    """All trunks, the preferred ones first."""

    def __init__(self, trunks: Sequence[Trunk] = ()) -> None:
        self._trunks = tuple(trunks)
        self._clients = {t.name: DigestClient(t.user, t.password) for t in self._trunks if t.user}
        if len({trunk.name for trunk in self._trunks}) != len(self._trunks):
            raise ValueError("two trunks have the same name")

    def routes(self, number: str) -> list[Route]:
        """Ways to the number in the order to try them; the trunk with the longest matching prefix first.

        Empty when the number is none or no trunk takes it: a wrong number.
        """
        if _NUMBER.fullmatch(number) is None:
            return []
        found = [(trunk, rule) for trunk in self._trunks if (rule := trunk.rule(number)) is not None]
        found.sort(key=lambda pair: -len(pair[1].match))
        return [self._route(trunk, rule.apply(number)) for trunk, rule in found if rule.apply(number)]

    def _route(self, trunk: Trunk, number: str) -> Route:
        params: dict[str, str | None] = {} if trunk.transport == "udp" else {"transport": trunk.transport}
        uri = SipUri(user=number, host=trunk.host, port=None if trunk.port == 5060 else trunk.port, params=params)
        return Route(trunk, str(uri), Peer(trunk.transport, trunk.host, trunk.port), self._clients.get(trunk.name))
