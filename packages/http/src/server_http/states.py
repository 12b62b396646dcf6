"""The states of a response, the commands that move it, and the ways to frame its body: tables; the versions of HTTP.

Owns: the numbers, and what they mean.
Must not know: who acts on them. They are apart from ``exchange`` so that each compiled module has them as C numbers of
its own: a name of another module is looked up in a dictionary each time.
"""

from __future__ import annotations

# -- states and commands of one exchange ---------------------------------------------------------------------------

AWAITING = 0  # no final response head yet
BODY = 1  # the final head is out, its body follows
TUNNEL = 2  # 101, or 2xx to CONNECT: raw octets both ways
ENDED = 3  # complete
CUT = 4  # ended too early: whatever frames the message must show that it is incomplete

INFORM = 0
RESPOND = 1
SWITCH = 2  # respond with a head that opens a tunnel
SEND = 3
END = 4
FALL_SHORT = 5  # end before the declared length was reached
ABANDON = 6  # the stream broke

STATES = {AWAITING: "awaiting", BODY: "body", TUNNEL: "tunnel", ENDED: "ended", CUT: "cut"}
COMMANDS = {
    INFORM: "inform", RESPOND: "respond", SWITCH: "switch", SEND: "send", END: "end", FALL_SHORT: "fall short",
    ABANDON: "abandon",
}  # fmt: skip

#: (state, command) -> state. What is not here is out of order.
TRANSITIONS = {
    (AWAITING, INFORM): AWAITING,
    (AWAITING, RESPOND): BODY,
    (AWAITING, SWITCH): TUNNEL,
    (AWAITING, ABANDON): CUT,
    (BODY, INFORM): BODY,  # too late to be of use: nothing is sent
    (BODY, SEND): BODY,
    (BODY, END): ENDED,
    (BODY, FALL_SHORT): CUT,
    (BODY, ABANDON): CUT,
    (TUNNEL, INFORM): TUNNEL,
    (TUNNEL, SEND): TUNNEL,
    (TUNNEL, END): ENDED,
    (TUNNEL, ABANDON): CUT,
    (ENDED, INFORM): ENDED,
    (ENDED, ABANDON): ENDED,
    (CUT, INFORM): CUT,
    (CUT, SEND): CUT,  # the application is still on its way to say something
    (CUT, END): CUT,
    (CUT, FALL_SHORT): CUT,
    (CUT, ABANDON): CUT,
}

# -- versions -------------------------------------------------------------------------------------------------------

#: What ``Request.version`` may be. Compared by these names, equal ones are the same object.
HTTP_1_0 = "1.0"
HTTP_1_1 = "1.1"
HTTP_2 = "2"
#: The same as CGI, WSGI and logs say it (RFC 3875 section 4.1.16).
PROTOCOLS = {HTTP_1_0: "HTTP/1.0", HTTP_1_1: "HTTP/1.1", HTTP_2: "HTTP/2.0"}

# -- framing, as data -----------------------------------------------------------------------------------------------

NO_BODY = 0  # HEAD, 1xx, 204, 304: the head is everything
LENGTH = 1  # Content-Length octets
CHUNKED = 2  # chunked transfer coding (RFC 9112 section 7.1)
UNTIL_CLOSE = 3  # the end of the connection is the end of the body
DELIMITED = 4  # the protocol marks the end itself (HTTP/2 END_STREAM)
RAW = 5  # a tunnel

#: How a body of unknown length is framed for a peer of that version.
UNKNOWN_LENGTH = {HTTP_1_0: UNTIL_CLOSE, HTTP_1_1: CHUNKED, HTTP_2: DELIMITED}
