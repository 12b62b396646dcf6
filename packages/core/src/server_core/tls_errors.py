"""What goes wrong below an engine with TLS.

Owns: the errors, apart from ``server_core.tls``, because a server without TLS does not import OpenSSL.
Must not know: TLS.
"""

from __future__ import annotations

from server_http.errors import BadRequest, ProtocolError


class TLSError(ProtocolError):
    """The handshake or a record failed; scanners cause it all day, so it is no warning."""

    log_level = "info"


class PlainHTTP(BadRequest):
    """Something that is no TLS, and may be HTTP, arrived on a TLS port."""

    log_level = "info"
