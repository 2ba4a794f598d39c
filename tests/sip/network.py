"""Two (or more) user agents in memory: virtual time, a seeded network that loses, reorders and repeats datagrams."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TypeVar

from sip.agent import UserAgent
from sip.auth import HashedCredentials
from sip.config import SipConfig
from sip.events import Event
from sip.message import Request, Response, parse
from sip.peer import Peer
from sip.trunk import Trunk

OFFER = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\nc=IN IP4 192.0.2.1\r\n"
ANSWER = b"v=0\r\no=- 2 1 IN IP4 192.0.2.2\r\ns=-\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\nc=IN IP4 192.0.2.2\r\n"

_Kind = TypeVar("_Kind", bound=Event)


@dataclass
class Impairment:
    """What the network does to UDP: probabilities, and a delay in seconds with uniform jitter."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.01
    jitter: float = 0.0


def make_agent(
    host: str,
    *,
    seed: int = 1,
    accounts: dict[str, str] | None = None,
    trunks: tuple[Trunk, ...] = (),
    config: SipConfig | None = None,
) -> UserAgent:
    """An agent that listens at ``host``:5060. ``accounts`` maps numbers to passwords."""
    config = replace(config or SipConfig(domain=f"{host}.example"), hosts=(host,))
    known = {user: HashedCredentials.of(user, config.realm, word) for user, word in (accounts or {}).items()}
    return UserAgent(config, known.get, trunks=trunks, rng=Random(seed), secret=b"s" * 32)


@dataclass
class Node:
    """An agent on the network; ``react`` is its user."""

    agent: UserAgent
    peer: Peer
    events: list[Event] = field(default_factory=list)
    react: Callable[[Event], None] | None = None

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        return [event for event in self.events if isinstance(event, kind)]


class Network:
    """Carries messages between nodes and runs the clock."""

    def __init__(self, impairment: Impairment | None = None, seed: int = 1) -> None:
        self.now = 1000.0
        self.impairment = impairment or Impairment()
        self.nodes: dict[tuple[str, int], Node] = {}
        self.log: list[tuple[float, str, str, Request | Response]] = []
        self.keep_log = True
        self._rng = Random(seed)
        self._flying: list[tuple[float, int, bytes, Peer, Peer]] = []
        self._serial = 0

    def add(self, agent: UserAgent, host: str, port: int = 5060) -> Node:
        node = Node(agent, Peer("udp", host, port))
        self.nodes[host, port] = node
        return node

    def flush(self, node: Node) -> None:
        """Take what the agent wants sent and reported, until there is no more."""
        while True:
            while (event := node.agent.next_event()) is not None:
                node.events.append(event)
                if node.react is not None:
                    node.react(event)
            messages = node.agent.to_send()
            for data, peer in messages:
                self._carry(data, node.peer, peer)
            if not messages:
                return

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        for node in self.nodes.values():
            self.flush(node)
        while (at := self._next()) is not None and at <= end:
            self.now = max(self.now, at)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, data, source, target = heapq.heappop(self._flying)
                receiver = self.nodes.get((target.host, target.port))
                if receiver is not None:
                    receiver.agent.receive(data, replace(source, transport=target.transport), self.now)
                    self.flush(receiver)
            for node in self.nodes.values():
                due = node.agent.timer()
                if due is not None and due <= self.now:
                    node.agent.handle_timer(self.now)
                    self.flush(node)
        self.now = end

    def methods(self) -> list[str]:
        """The messages sent so far, in short: ``INVITE``, ``200 INVITE`` ..."""
        return [
            message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"
            for _, _, _, message in self.log
        ]

    def _carry(self, data: bytes, source: Peer, target: Peer) -> None:
        if self.keep_log:
            self.log.append((self.now, source.host, target.host, parse(data)))
        how = self.impairment
        copies = 2 if self._rng.random() < how.duplicate else 1
        for _ in range(copies):
            if target.transport == "udp" and self._rng.random() < how.loss:
                continue
            self._serial += 1
            at = self.now + how.delay + self._rng.random() * how.jitter
            heapq.heappush(self._flying, (at, self._serial, data, source, target))

    def _next(self) -> float | None:
        times = [node.agent.timer() for node in self.nodes.values()]
        if self._flying:
            times.append(self._flying[0][0])
        return min((at for at in times if at is not None), default=None)
