"""A SIP user agent and registrar (RFC 3261). Everything but ``endpoint`` and what it opens is without I/O and clock."""
