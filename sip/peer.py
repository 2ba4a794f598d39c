"""Where a message came from or goes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """A transport address. ``flow`` names one TCP connection; None for UDP and for a connection yet to be made.

    ``transport`` is ``udp`` or ``tcp``, ``host`` a textual IPv4 or IPv6 address (no brackets) or a name to be resolved.
    """

    transport: str
    host: str
    port: int
    flow: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}:{host}:{self.port}"

    @property
    def reliable(self) -> bool:
        """True when the transport itself retransmits (RFC 3261 section 17.1.1.1)."""
        return self.transport != "udp"
