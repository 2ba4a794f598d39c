"""Session descriptions: parse, build, offer and answer (RFC 8866, RFC 3264). Pure; imports nothing of ours."""

from sdp.errors import NoCommonCodecError, NoUsableMediaError, SdpError
from sdp.negotiation import AudioSession, AudioSettings, Negotiation, media_family
from sdp.session import SessionDescription

__all__ = [
    "AudioSession",
    "AudioSettings",
    "Negotiation",
    "NoCommonCodecError",
    "NoUsableMediaError",
    "SdpError",
    "SessionDescription",
    "media_family",
]
