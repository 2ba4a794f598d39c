"""SIP status codes: their phrases, and what they mean to a person (mission N1)."""

from __future__ import annotations

import re

from sip.events import FailureKind

PHRASES: dict[int, str] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    199: "Early Dialog Terminated",
    200: "OK",
    202: "Accepted",
    204: "No Notification",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    424: "Bad Location Information",
    425: "Bad Alert Message",
    428: "Use Identity Header",
    429: "Provide Referrer Identity",
    430: "Flow Failed",
    433: "Anonymity Disallowed",
    436: "Bad Identity Info",
    437: "Unsupported Credential",
    438: "Invalid Identity Header",
    439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded",
    469: "Bad Info Package",
    470: "Consent Needed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
    608: "Rejected",
}
"""The IANA registry of SIP response codes."""

_CLASS_PHRASES = ("", "Progress", "OK", "Redirection", "Request Failure", "Server Failure", "Global Failure")


def phrase(status: int) -> str:
    """The reason phrase of a status code; that of its class when the code is not a registered one."""
    return PHRASES.get(status) or _CLASS_PHRASES[status // 100]


_KINDS: dict[int, FailureKind] = {
    401: FailureKind.FORBIDDEN,
    402: FailureKind.FORBIDDEN,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.WRONG_NUMBER,
    405: FailureKind.UNSUPPORTED,
    406: FailureKind.UNSUPPORTED,
    407: FailureKind.FORBIDDEN,
    408: FailureKind.NO_ANSWER,
    410: FailureKind.WRONG_NUMBER,
    413: FailureKind.UNSUPPORTED,
    414: FailureKind.WRONG_NUMBER,
    415: FailureKind.UNSUPPORTED,
    416: FailureKind.WRONG_NUMBER,
    420: FailureKind.UNSUPPORTED,
    421: FailureKind.UNSUPPORTED,
    422: FailureKind.UNSUPPORTED,
    428: FailureKind.FORBIDDEN,
    430: FailureKind.UNREACHABLE,
    433: FailureKind.REJECTED,
    436: FailureKind.FORBIDDEN,
    437: FailureKind.FORBIDDEN,
    438: FailureKind.FORBIDDEN,
    470: FailureKind.FORBIDDEN,
    480: FailureKind.UNREACHABLE,
    484: FailureKind.WRONG_NUMBER,
    485: FailureKind.WRONG_NUMBER,
    486: FailureKind.BUSY,
    487: FailureKind.CANCELLED,
    488: FailureKind.UNSUPPORTED,
    493: FailureKind.UNSUPPORTED,
    494: FailureKind.UNSUPPORTED,
    505: FailureKind.UNSUPPORTED,
    513: FailureKind.UNSUPPORTED,
    580: FailureKind.UNSUPPORTED,
    600: FailureKind.BUSY,
    603: FailureKind.REJECTED,
    604: FailureKind.WRONG_NUMBER,
    606: FailureKind.UNSUPPORTED,
    607: FailureKind.REJECTED,
    608: FailureKind.REJECTED,
}

_CAUSES: dict[int, FailureKind] = {
    1: FailureKind.WRONG_NUMBER,
    2: FailureKind.NETWORK,
    3: FailureKind.NETWORK,
    5: FailureKind.WRONG_NUMBER,
    17: FailureKind.BUSY,
    18: FailureKind.UNREACHABLE,
    19: FailureKind.NO_ANSWER,
    20: FailureKind.UNREACHABLE,
    21: FailureKind.REJECTED,
    22: FailureKind.WRONG_NUMBER,
    23: FailureKind.WRONG_NUMBER,
    26: FailureKind.WRONG_NUMBER,
    27: FailureKind.UNREACHABLE,
    28: FailureKind.WRONG_NUMBER,
    29: FailureKind.REJECTED,
    34: FailureKind.NETWORK,
    38: FailureKind.NETWORK,
    41: FailureKind.NETWORK,
    42: FailureKind.NETWORK,
    43: FailureKind.NETWORK,
    44: FailureKind.NETWORK,
    47: FailureKind.NETWORK,
    50: FailureKind.FORBIDDEN,
    55: FailureKind.FORBIDDEN,
    57: FailureKind.FORBIDDEN,
    58: FailureKind.UNSUPPORTED,
    63: FailureKind.NETWORK,
    65: FailureKind.UNSUPPORTED,
    69: FailureKind.UNSUPPORTED,
    70: FailureKind.UNSUPPORTED,
    79: FailureKind.UNSUPPORTED,
    87: FailureKind.FORBIDDEN,
    88: FailureKind.UNSUPPORTED,
    102: FailureKind.NO_ANSWER,
    127: FailureKind.NETWORK,
}
"""ITU-T Q.850 causes that say more than the SIP status they were mapped to (RFC 3398 section 8.2.6.1). Cause 16 and 31
(normal) say nothing and are left out."""

_WORDS: dict[FailureKind, str] = {
    FailureKind.BUSY: "the number is busy",
    FailureKind.NO_ANSWER: "nobody answered",
    FailureKind.REJECTED: "the call was rejected",
    FailureKind.WRONG_NUMBER: "there is no such number",
    FailureKind.UNREACHABLE: "the phone is switched off or out of reach",
    FailureKind.NETWORK: "the network failed",
    FailureKind.FORBIDDEN: "calling this number is not allowed",
    FailureKind.UNSUPPORTED: "the phone cannot take part in this kind of call",
    FailureKind.CANCELLED: "the call was cancelled",
}

_CAUSE = re.compile(r"^\s*([A-Za-z0-9.\-]+)\s*;(?:.*;)?\s*cause\s*=\s*([0-9]{1,3})(?![0-9])", re.IGNORECASE | re.DOTALL)


def failure_kind(status: int, reasons: list[str] | None = None) -> FailureKind:
    """What a final status means; ``reasons`` are the values of its Reason header field (RFC 3326).

    A Q.850 cause is what the telephone network itself said and wins over the status a gateway made of it, save for the
    statuses that state a person's own decision (486, 600, 603 and the like).
    """
    kind = _KINDS.get(status)
    if kind in (FailureKind.BUSY, FailureKind.REJECTED, FailureKind.CANCELLED):
        return kind
    cause = q850_cause(reasons or [])
    if cause in _CAUSES:
        return _CAUSES[cause]
    if kind is not None:
        return kind
    if status >= 600:
        return FailureKind.REJECTED
    return FailureKind.UNREACHABLE if status < 400 else FailureKind.NETWORK


def q850_cause(reasons: list[str]) -> int | None:
    """The Q.850 cause among the values of Reason, if any."""
    for value in reasons:
        match = _CAUSE.match(value)
        if match is not None and match[1].upper() == "Q.850":
            return int(match[2])
    return None


def words(kind: FailureKind) -> str:
    """The kind in plain words."""
    return _WORDS[kind]
