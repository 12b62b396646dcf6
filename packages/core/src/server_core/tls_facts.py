"""What applications may see of a TLS session: environ variables and the ASGI ``tls`` extension.

Owns: the names and forms of these facts.
Must not know: how the session came about; it asks the SSL object, and only when somebody asks it.
"""

from __future__ import annotations

import ssl
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

# Python names attributes by OpenSSL's long names; RFC 4514 section 3 gives the short ones
_SHORT_NAMES: Mapping[str, str] = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
_ESCAPED = frozenset(',+"\\<>;')
_NUMBERS: Mapping[str, int] = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

Name = Sequence[Sequence[Tuple[str, str]]]


def format_name(name: Name) -> str:
    """Return a distinguished name as text, most specific part first (RFC 4514 section 2)."""
    parts = []
    for attributes in reversed(name):
        parts.append("+".join(f"{_SHORT_NAMES.get(kind, kind)}={_escape(value)}" for kind, value in attributes))
    return ",".join(parts)


def _escape(value: str) -> str:
    text = "".join("\\" + char if char in _ESCAPED else char for char in value)
    if text.startswith((" ", "#")):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") and len(text) > 1 else text


class TLSInfo:
    """The facts of one session, computed when asked for.

    Args:
        wrapped: the SSL object; its handshake is complete.
        server_name: the host name the client asked for (SNI), or None.
        cipher_number: gives the registered number of a cipher's name.
        server_certificate: gives the certificate the session was opened with (PEM).

    Attributes:
        version: for example ``"TLSv1.3"``.
        cipher: the cipher suite, as OpenSSL names it.
        alpn: the protocol chosen by ALPN, or None.
        server_name: as given.
        resumed: the session was made earlier, with this or another worker.
    """

    __slots__ = (
        "_certificate", "_cipher_number", "_extension", "_server_certificate", "_variables", "_wrapped", "alpn",
        "cipher", "resumed", "server_name", "version",
    )  # fmt: skip

    def __init__(
        self,
        wrapped: ssl.SSLObject,
        server_name: Optional[str],
        cipher_number: Callable[[str], int],
        server_certificate: Callable[[], str],
    ) -> None:
        cipher = wrapped.cipher()
        self.version = wrapped.version() or ""
        self.cipher = cipher[0] if cipher is not None else ""
        self.alpn = wrapped.selected_alpn_protocol()
        self.server_name = server_name
        self.resumed = bool(wrapped.session_reused)
        self._wrapped = wrapped
        self._cipher_number = cipher_number
        self._server_certificate = server_certificate
        self._certificate: Optional[Dict[str, Any]] = None
        self._variables: Optional[Dict[str, str]] = None
        self._extension: Optional[Dict[str, Any]] = None

    @property
    def client_certificate(self) -> Mapping[str, Any]:
        """The client's verified certificate as ``ssl.SSLSocket.getpeercert`` gives it; empty without one."""
        if self._certificate is None:
            found: Any = self._wrapped.getpeercert()
            self._certificate = dict(found or {})
        return self._certificate

    def client_chain(self) -> List[str]:
        """Return the client's certificates (PEM), its own first; with Python below 3.13 only that one."""
        chain: Optional[Callable[[], Sequence[bytes]]] = getattr(self._wrapped, "get_verified_chain", None)
        if chain is not None:
            return [ssl.DER_cert_to_PEM_cert(der) for der in chain()]
        der = self._wrapped.getpeercert(binary_form=True)
        return [ssl.DER_cert_to_PEM_cert(der)] if der else []

    def variables(self) -> Dict[str, str]:
        """Return environ variables, named as mod_ssl names them. The caller must not change the dict."""
        if self._variables is None:
            said = {
                "HTTPS": "on",
                "SSL_PROTOCOL": self.version,
                "SSL_CIPHER": self.cipher,
                "SSL_TLS_SNI": self.server_name or "",
                "SSL_SESSION_RESUMED": "Resumed" if self.resumed else "Initial",
                "SSL_CLIENT_VERIFY": "SUCCESS" if self.client_certificate else "NONE",
            }
            said.update(self._client_variables())
            self._variables = {name: value for name, value in said.items() if value}
        return self._variables

    def _client_variables(self) -> Dict[str, str]:
        certificate = self.client_certificate
        if not certificate:
            return {}
        return {
            "SSL_CLIENT_S_DN": format_name(certificate.get("subject", ())),
            "SSL_CLIENT_I_DN": format_name(certificate.get("issuer", ())),
            "SSL_CLIENT_M_SERIAL": certificate.get("serialNumber", ""),
            "SSL_CLIENT_V_START": certificate.get("notBefore", ""),
            "SSL_CLIENT_V_END": certificate.get("notAfter", ""),
            "SSL_CLIENT_CERT": "".join(self.client_chain()[:1]),
        }

    def extension(self) -> Dict[str, Any]:
        """Return the ``tls`` extension of an ASGI scope. The caller must not change the dict."""
        if self._extension is None:
            subject = self.client_certificate.get("subject")
            self._extension = {
                "server_cert": self._server_certificate() or None,
                "client_cert_chain": self.client_chain() if subject else [],
                "client_cert_name": format_name(subject) if subject else None,
                "client_cert_error": None,  # a certificate that fails verification ends the handshake
                "tls_version": _NUMBERS.get(self.version),
                "cipher_suite": self._cipher_number(self.cipher) or None,
            }
        return self._extension
