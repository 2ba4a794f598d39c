"""Offers in the shape that well-known phones, exchanges and browsers give them."""

from __future__ import annotations


def sdp(text: str) -> bytes:
    """A description out of an indented block."""
    return "".join(f"{line.strip()}\r\n" for line in text.strip().splitlines()).encode()


PJSIP = sdp("""
    v=0
    o=- 3988275000 3988275000 IN IP4 192.0.2.10
    s=pjmedia
    b=AS:84
    t=0 0
    a=X-nat:0
    m=audio 4000 RTP/AVP 96 9 8 0 97 98
    c=IN IP4 192.0.2.10
    b=TIAS:64000
    a=rtcp:4001 IN IP4 192.0.2.10
    a=sendrecv
    a=rtpmap:96 opus/48000/2
    a=fmtp:96 useinbandfec=1
    a=rtpmap:9 G722/8000
    a=rtpmap:8 PCMA/8000
    a=rtpmap:0 PCMU/8000
    a=rtpmap:97 telephone-event/48000
    a=fmtp:97 0-16
    a=rtpmap:98 telephone-event/8000
    a=fmtp:98 0-16
    a=ssrc:1863237812 cname:3f4e0c5a0f1d7a52
""")

BARESIP = sdp("""
    v=0
    o=- 1731085821 1275034061 IN IP4 192.0.2.11
    s=-
    c=IN IP4 192.0.2.11
    t=0 0
    a=tool:baresip 1.0.0
    m=audio 10022 RTP/AVP 8 0 9 101
    a=rtpmap:8 PCMA/8000
    a=rtpmap:0 PCMU/8000
    a=rtpmap:9 G722/8000
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-15
    a=rtcp:10023
    a=sendrecv
    a=label:1
    a=rtcp-rsize
    a=ssrc:3021087561 cname:sip:11@192.0.2.11
    a=ptime:20
""")

LINPHONE = sdp("""
    v=0
    o=alice 1074 3911 IN IP6 2001:db8::77
    s=Talk
    c=IN IP6 2001:db8::77
    t=0 0
    a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
    m=audio 7078 RTP/AVPF 96 97 98 0 8 18 101 99 100
    a=rtpmap:96 opus/48000/2
    a=fmtp:96 useinbandfec=1
    a=rtpmap:97 speex/16000
    a=fmtp:97 vbr=on
    a=rtpmap:98 speex/8000
    a=fmtp:98 vbr=on
    a=fmtp:18 annexb=yes
    a=rtpmap:101 telephone-event/48000
    a=rtpmap:99 telephone-event/16000
    a=rtpmap:100 telephone-event/8000
    a=rtcp-fb:* trr-int 1000
    a=rtcp-fb:* ccm tmmbr
    m=video 9078 RTP/AVPF 96
    a=rtpmap:96 VP8/90000
    a=rtcp-fb:96 nack pli
""")

CISCO = sdp("""
    v=0
    o=CiscoSystemsSIP-GW-UserAgent 7201 5123 IN IP4 192.0.2.12
    s=SIP Call
    c=IN IP4 192.0.2.12
    t=0 0
    m=audio 16550 RTP/AVP 18 8 0 101 19
    c=IN IP4 192.0.2.13
    a=rtpmap:18 G729/8000
    a=fmtp:18 annexb=no
    a=rtpmap:8 PCMA/8000
    a=rtpmap:0 PCMU/8000
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-16
    a=rtpmap:19 CN/8000
    a=ptime:30
""")

ASTERISK = sdp("""
    v=0
    o=root 1821 1821 IN IP4 192.0.2.14
    s=Asterisk PBX 18.9.0
    c=IN IP4 192.0.2.14
    t=0 0
    m=audio 18442 RTP/AVP 3 8 101
    a=rtpmap:3 GSM/8000
    a=rtpmap:8 PCMA/8000
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-16
    a=ptime:20
    a=maxptime:150
    a=sendrecv
""")

STATIC_ONLY = sdp("""
    v=0
    o=- 1 1 IN IP4 192.0.2.15
    s=-
    c=IN IP4 192.0.2.15
    t=0 0
    m=audio 5004 RTP/AVP 0 8
""")

BROWSER = sdp("""
    v=0
    o=- 4611731400430051336 2 IN IP4 127.0.0.1
    s=-
    t=0 0
    a=group:BUNDLE 0
    a=msid-semantic: WMS stream
    m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
    c=IN IP4 0.0.0.0
    a=rtcp:9 IN IP4 0.0.0.0
    a=ice-ufrag:4ZcD
    a=ice-pwd:2/1muCWoOi3uLifh0NuRHlZk
    a=fingerprint:sha-256 7B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19
    a=setup:actpass
    a=mid:0
    a=sendrecv
    a=rtcp-mux
    a=rtpmap:111 opus/48000/2
    a=fmtp:111 minptime=10;useinbandfec=1
    a=rtpmap:63 red/48000/2
    a=rtpmap:9 G722/8000
    a=rtpmap:0 PCMU/8000
    a=rtpmap:8 PCMA/8000
    a=rtpmap:13 CN/8000
    a=rtpmap:110 telephone-event/48000
    a=rtpmap:126 telephone-event/8000
""")

GOLDEN = {
    "pjsip": PJSIP,
    "baresip": BARESIP,
    "linphone": LINPHONE,
    "cisco": CISCO,
    "asterisk": ASTERISK,
    "static": STATIC_ONLY,
    "browser": BROWSER,
}
