"""The TLS of a listener: what its connections share.

Owns: the contexts of a listener: certificates by SNI, and re-reading them. One connection's records are
``server_core.tls_session``'s.
Must not know: sockets, drivers, engines. No ``SSLSocket``: only ``SSLContext.wrap_bio``, so that every
driver has the same TLS and only the holder of a connection's turn touches its SSL object.

The arbiter makes one ``ServerTLS`` before it forks. Its base context holds the key of session tickets: a session
made with one worker is resumed by all. It stays as it is until ``ca_certs`` changes. Certificates are chosen in the
SNI callback, which OpenSSL calls in every full handshake, and can therefore be replaced at any time.
"""

from __future__ import annotations

import _ssl
import os
import re
import ssl
import sys
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from server_core.errors import ConfigError
from server_core.tls_session import TLSSession
from server_http.events import Warned

ALPN_NAMES: Mapping[str, str] = {"h1": "http/1.1", "h2": "h2"}

_MINIMUM = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)

ContextHook = Callable[[Any, Callable[[], ssl.SSLContext]], ssl.SSLContext]


class _CertificateFiles(NamedTuple):
    """One certificate of the settings; ``name`` is the SNI host name, ``""`` for the default one."""

    name: str
    certfile: str
    keyfile: Optional[str]


class _Certificate:
    """A loaded certificate: the context that presents it, and its text."""

    __slots__ = ("context", "pem")

    def __init__(self, context: ssl.SSLContext, pem: str) -> None:
        self.context = context
        self.pem = pem


class _SSLObject(ssl.SSLObject):
    """An SSL object that remembers what the client asked for and what it was given."""

    server_name: Optional[str] = None
    certificate: Optional[_Certificate] = None


class ServerTLS:
    """The TLS of a listener: made before the fork, shared by all of its connections.

    Args:
        settings: certfile, keyfile, ca_certs, cert_reqs, ciphers, sni_certificates, tls_minimum_version,
            http_protocols, ssl_context and certificate_reload are read.

    Attributes:
        handshake_timeout: seconds.

    Raises:
        ConfigError: a certificate or key cannot be read or does not match.
    """

    def __init__(self, settings: Any) -> None:
        self._settings = settings
        self._alpn = tuple(ALPN_NAMES[name] for name in settings.http_protocols) if settings.protocol == "http" else ()
        self.handshake_timeout = float(settings.tls_handshake_timeout)
        self._interval = float(settings.certificate_reload)
        self._next_look: Optional[float] = None
        self._files = _certificate_files(settings)
        self._stamp = self._stamps()
        self._default, self._named = self._load()
        self._begin_sessions()

    @classmethod
    def from_settings(cls, settings: Any) -> Optional[ServerTLS]:
        """Return the TLS that the settings ask for, or None when they ask for none."""
        if not settings.certfile and not settings.keyfile and not settings.sni_certificates:
            return None
        _pass_over_undecodable_names()
        return cls(settings)

    def session(self) -> TLSSession:
        """Return the session of a new connection."""
        return TLSSession(self)

    def set_protocols(self, protocols: Sequence[str]) -> None:
        """Of what the settings name, offer by ALPN only ``protocols``, ``"h1"`` and ``"h2"`` (RFC 7301): a worker
        may speak less. To be called before its first connection."""
        kept = tuple(name for name in self._alpn if name in [ALPN_NAMES[protocol] for protocol in protocols])
        if kept == self._alpn:
            return
        self._alpn = kept
        for certificate in (self._default, *self._named.values()):
            certificate.context.set_alpn_protocols(list(kept))
        self._base.set_alpn_protocols(list(kept))

    def refresh(self, now: float) -> List[Warned]:
        """Read the certificates again when ``certificate_reload`` seconds have passed and a file changed.

        Connections stay as they are, and so do session tickets, unless ``ca_certs`` changed: by them a client would
        come back for whom no authority stands any more. What cannot be loaded is not used.

        Args:
            now: monotonic seconds.

        Returns:
            What the log should hear of it.
        """
        if not self._interval or (self._next_look is not None and now < self._next_look):
            return []
        self._next_look = now + self._interval
        stamp = self._stamps()
        if stamp == self._stamp:
            return []
        try:
            self._default, self._named = self._load()
        except Exception as error:  # the ssl_context hook is the user's own, and a file may be half written
            reason = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
            return [Warned(f"Certificates changed and cannot be used, the old ones stay: {reason}")]
        authorities_changed = bool(self._settings.ca_certs) and stamp[-1] != self._stamp[-1]
        if authorities_changed and self._default.context is not self._base:  # a hook may keep its context
            self._begin_sessions()
        self._stamp = stamp
        return [Warned("Certificates changed and were read again", "info")]

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> _SSLObject:
        """Return the SSL object of a new session."""
        wrapped = self._base.wrap_bio(incoming, outgoing, server_side=True)
        assert isinstance(wrapped, _SSLObject)  # noqa: S101 - sslobject_class says so
        return wrapped

    def cipher_number(self, name: str) -> int:
        """Return the number of a cipher suite in the IANA registry, 0 when unknown."""
        return self._cipher_numbers.get(name, 0)

    def certificate_text(self, wrapped: _SSLObject) -> str:
        """Return the server certificate of a session (PEM)."""
        return (wrapped.certificate or self._default).pem

    def _begin_sessions(self) -> None:
        """Make the default certificate's context the one that sessions begin with, and whose tickets are taken."""
        self._base = self._default.context
        self._users_callback = self._base.sni_callback
        self._base.sslobject_class = _SSLObject
        self._base.options |= ssl.OP_NO_RENEGOTIATION  # a hook may have made the context
        # by the base class: that of gevent hands a callback the socket of an SSL object, and ours have none
        vars(_ssl._SSLContext)["sni_callback"].__set__(self._base, self._choose)
        self._cipher_numbers = {entry["name"]: entry["id"] & 0xFFFF for entry in self._base.get_ciphers()}

    # -- certificates --------------------------------------------------------------------------------------------

    def _choose(self, wrapped: Any, name: Optional[str], _context: ssl.SSLContext) -> Optional[int]:
        """Give a handshake the certificate for ``name`` (RFC 6066 section 3); then ask the user's callback."""
        chosen = self._default
        if name is not None and self._named:
            lowered = name.lower()
            wildcard = "*." + lowered.partition(".")[2]
            chosen = self._named.get(lowered) or self._named.get(wildcard) or self._default
        wrapped.server_name = name
        wrapped.certificate = chosen
        if chosen.context is not self._base:
            wrapped.context = chosen.context
        if self._users_callback is not None:
            return self._users_callback(wrapped, name, chosen.context)  # type: ignore[arg-type]  # None: no SNI
        return None

    def _load(self) -> Tuple[_Certificate, Dict[str, _Certificate]]:
        loaded = {}
        for files in self._files:
            context = _context(self._settings, files, self._alpn)
            loaded[files.name] = _Certificate(context, _first_certificate(files.certfile))
        return loaded.pop(""), loaded

    def _stamps(self) -> List[Tuple[int, int, int]]:
        """What changes when a file is written again or another takes its place."""
        paths = [path for files in self._files for path in (files.certfile, files.keyfile) if path]
        if self._settings.ca_certs:
            paths.append(self._settings.ca_certs)
        stamps = []
        for path in paths:
            try:
                status = os.stat(path)
            except OSError:
                stamps.append((0, 0, 0))
            else:
                stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
        return stamps


class _UnraisableHook:
    """``sys.unraisablehook`` that says nothing of a host name in SNI that is no ASCII (RFC 6066 section 3).

    Python decodes the name before it calls us, and writes a traceback where it cannot: any client could fill the error
    output with them. The handshake fails all the same, as ``TLSError``.

    Args:
        following: the hook that is asked about everything else.
    """

    def __init__(self, following: Callable[[Any], Any]) -> None:
        self._following = following

    def __call__(self, unraisable: Any) -> None:
        trace = unraisable.exc_traceback
        decoding = trace is not None and trace.tb_frame.f_code is ssl.SSLObject.do_handshake.__code__
        if not (decoding and isinstance(unraisable.exc_value, UnicodeDecodeError)):
            self._following(unraisable)


def _pass_over_undecodable_names() -> None:
    if not isinstance(sys.unraisablehook, _UnraisableHook):
        sys.unraisablehook = _UnraisableHook(sys.unraisablehook)


def default_context(settings: Any) -> ssl.SSLContext:
    """Return the context of the default certificate, for servers of other making: it offers no protocol by ALPN.

    Raises:
        ConfigError: a certificate or key cannot be read or does not match.
    """
    return _context(settings, _certificate_files(settings)[0], ())


def _context(settings: Any, files: _CertificateFiles, alpn: Sequence[str]) -> ssl.SSLContext:
    """Make the context of one certificate; that of the default one passes through the ``ssl_context`` hook."""
    hook: Optional[ContextHook] = settings.hook("ssl_context")
    if hook is None or files.name:
        return _described_context(settings, files, alpn)
    context = hook(settings, lambda: _described_context(settings, files, alpn))
    if not isinstance(context, ssl.SSLContext):
        raise ConfigError(f"ssl_context: expected an ssl.SSLContext from the hook, got {context!r}")
    return context


def _described_context(settings: Any, files: _CertificateFiles, alpn: Sequence[str]) -> ssl.SSLContext:
    """Make the context that the settings describe."""
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.ca_certs)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(_unreadable("ca_certs", settings.ca_certs, error)) from None
    context.minimum_version = _MINIMUM[settings.tls_minimum_version]
    context.verify_mode = ssl.VerifyMode(settings.cert_reqs)
    if settings.ciphers:
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError:
            raise ConfigError(f"ciphers: expected ciphers that OpenSSL knows, got {settings.ciphers!r}") from None
    if alpn:
        context.set_alpn_protocols(list(alpn))
    _load_chain(context, files)
    return context


def _certificate_files(settings: Any) -> List[_CertificateFiles]:
    if not settings.certfile:
        raise ConfigError(
            f"certfile: expected a certificate beside keyfile or sni_certificates, got {settings.certfile!r}"
        )
    files = [_CertificateFiles("", settings.certfile, settings.keyfile)]
    for entry in settings.sni_certificates:
        name, _, paths = entry.partition("=")
        certfile, _, keyfile = paths.partition(":")
        files.append(_CertificateFiles(name.strip().lower(), certfile, keyfile or None))
    return files


def _load_chain(context: ssl.SSLContext, files: _CertificateFiles) -> None:
    setting = "sni_certificates" if files.name else "certfile"
    for path in (files.certfile, files.keyfile):
        if path:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise ConfigError(_unreadable(setting if path == files.certfile else "keyfile", path, error)) from None

    def refuse_password() -> str:  # OpenSSL would ask on the terminal, in a reload too
        raise ConfigError(
            f"keyfile: expected a key without a passphrase, got {files.keyfile or files.certfile!r} "
            "(load it in the ssl_context hook)"
        )

    try:
        context.load_cert_chain(files.certfile, files.keyfile, password=refuse_password)
    except (ssl.SSLError, OSError) as error:
        if not files.keyfile and _first_certificate(files.certfile) and not _holds_key(files.certfile):
            where = "its entry" if files.name else "keyfile"
            raise ConfigError(
                f"{setting}: expected the key in {files.certfile!r}, because {where} names no other file, got none"
            ) from None
        what = f"{files.certfile!r}" + (f" and {files.keyfile!r}" if files.keyfile else "")
        raise ConfigError(
            f"{setting}: expected a certificate and its key (PEM), got {what} ({_reason(error)})"
        ) from None


def _unreadable(setting: str, path: object, error: Exception) -> str:
    return f"{setting}: expected a readable file (PEM), got {path!r} ({_reason(error)})"


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not PEM"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def _holds_key(path: str) -> bool:
    with open(path, encoding="latin-1") as file:
        return "PRIVATE KEY-----" in file.read()


def _first_certificate(path: str) -> str:
    with open(path, encoding="latin-1") as file:
        match = _PEM.search(file.read())
    return match.group() if match is not None else ""
