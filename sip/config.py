"""How one SIP user agent is set up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SipConfig:
    """Settings of a user agent and its endpoint; everything but the accounts, which are looked up."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    """Addresses to listen at, IPv4 and IPv6."""
    port: int = 5060
    """0 takes a free one."""
    transports: tuple[str, ...] = ("udp", "tcp")
    announce: str = ""
    """The host put into Via and Contact when it is not the one listened at (behind a NAT)."""
    domain: str = ""
    """Our SIP domain and digest realm; empty: the first host."""
    ring_seconds: float = 60.0
    """How long an outgoing call may ring before it counts as not answered."""
    follow_to_numbers: bool = False
    """Whether a phone we call may redirect the call to a number on a trunk: the operator pays for what it names."""
    user_agent: str = "Veche"
    min_expires: int = 60
    max_expires: int = 3600
    """Bounds on how long a phone stays registered, in seconds."""
    challenge_accounts: bool = False
    """Ask for a digest when an INVITE's From claims one of our accounts and its source is not a registered contact."""
    max_calls: int = 10_000
    max_transactions: int = 60_000
    """Server transactions kept; one lives 32 s after its answer over UDP."""
    max_datagram: int = 16_384
    """Bytes; a larger datagram is ignored."""
    max_connections: int = 2_000
    idle_seconds: float = 600.0
    """A TCP connection silent this long is closed."""

    @property
    def realm(self) -> str:
        return self.domain or self.announce or self.hosts[0]
