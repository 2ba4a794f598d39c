"""Where registered phones are: the location service of RFC 3261 section 10."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import NamedTuple

from sip.headers import NameAddr, Via
from sip.peer import Peer
from sip.uri import Params, SipUri

MAX_CONTACTS = 10


class Target(NamedTuple):
    """How to reach one contact: its URI for the request line, and the transport address to send to."""

    uri: str
    peer: Peer
    q: float = 1.0


@dataclass(slots=True)
class Binding:
    """One contact of an account."""

    uri: SipUri
    q: float
    call_id: str
    cseq: int
    expires_at: float
    peer: Peer
    """Where requests for this contact go."""
    source: Peer
    """Where the REGISTER came from."""
    instance: str | None = None
    """``+sip.instance`` with ``reg-id`` (RFC 5626): the same device whatever its address is now."""

    @property
    def target(self) -> Target:
        return Target(str(self.uri), self.peer, self.q)

    def contact_value(self, now: float) -> str:
        """The Contact value that lists this binding in a 200 to REGISTER."""
        params: Params = {"expires": str(max(0, round(self.expires_at - now)))}
        if self.q != 1.0:
            params["q"] = f"{self.q:g}"
        return str(NameAddr("", self.uri, params))


class Bindings:
    """All bindings. At most MAX_CONTACTS an account: a further one drives out the one that runs out first."""

    def __init__(self, max_contacts: int = MAX_CONTACTS) -> None:
        self._max_contacts = max_contacts
        self._accounts: dict[str, list[Binding]] = {}
        self._expiries: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}

    def of(self, account: str, now: float) -> list[Binding]:
        """The account's live bindings: highest q first, among equals the newest first."""
        live = [binding for binding in self._accounts.get(account, ()) if binding.expires_at > now]
        return sorted(live, key=lambda binding: (-binding.q, -binding.expires_at))

    def known_at(self, account: str, peer: Peer, now: float) -> bool:
        """Whether one of the account's phones registered from this very transport address (and connection)."""
        return any(binding.source == peer for binding in self.of(account, now))

    def replace(self, account: str, bindings: list[Binding], now: float) -> None:
        """Make ``bindings`` all the account has."""
        kept = sorted((b for b in bindings if b.expires_at > now), key=lambda b: -b.expires_at)[: self._max_contacts]
        if not kept:
            self._accounts.pop(account, None)
            return
        self._accounts[account] = kept
        self._watch(account)

    def drop_flow(self, flow: int, now: float) -> list[str]:
        """A connection is gone, and with it the bindings that can only be reached over it. Returns their accounts."""
        hit = [account for account, bindings in self._accounts.items() if any(b.peer.flow == flow for b in bindings)]
        for account in hit:
            self.replace(account, [b for b in self._accounts[account] if b.peer.flow != flow], now)
        return hit

    def next_expiry(self) -> float | None:
        """When ``expire`` is due."""
        return self._expiries[0][0] if self._expiries else None

    def expire(self, now: float) -> list[str]:
        """Drop what has run out. Returns the accounts that lost a binding."""
        hit: list[str] = []
        while self._expiries and self._expiries[0][0] <= now:
            due, account = heapq.heappop(self._expiries)
            if self._due.get(account) != due:
                continue
            del self._due[account]
            bindings = self._accounts.get(account)
            if bindings is None:
                continue
            if min(binding.expires_at for binding in bindings) <= now:
                hit.append(account)
            self.replace(account, bindings, now)
        return hit

    def _watch(self, account: str) -> None:
        """One timer an account: refreshes, which only put it off, are found out when it is due."""
        due = min(binding.expires_at for binding in self._accounts[account])
        if due < self._due.get(account, math.inf):
            self._due[account] = due
            heapq.heappush(self._expiries, (due, account))

    def __len__(self) -> int:
        return sum(map(len, self._accounts.values()))


def route(uri: SipUri, via: Via, source: Peer) -> Peer:
    """Where to send requests for a contact that was registered from ``source``.

    Over TCP the connection is reused. Over UDP a contact that is not at its source is behind a NAT, so that only the
    source reaches it - unless the REGISTER's Via names the very source: then there is no NAT, and the phone may mean
    another port or transport of its own. Never another host: a phone that signs in as a number at a trunk's address
    would have us pay for its calls.
    """
    untouched = (via.host, via.port or 5060) == (source.host, source.port)
    if source.flow is not None or not untouched or uri.host != source.host or uri.transport not in ("udp", "tcp"):
        return source
    return Peer(uri.transport, uri.host, uri.port or 5060)
