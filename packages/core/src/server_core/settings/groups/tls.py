"""Settings of TLS."""

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Assignment, Boolean, Choice, Integer, Kind, ListOf, Seconds, Text


class _Anything(Kind):
    """A value that is accepted and not looked at."""

    def parse(self, value: object) -> object:
        return value


class _SniCertificate(Assignment):
    """``HOSTNAME=CERTFILE`` or ``HOSTNAME=CERTFILE:KEYFILE``."""

    expects = "HOSTNAME=CERTFILE or HOSTNAME=CERTFILE:KEYFILE"


GROUP = Group(
    "SSL",
    [
        Setting("certfile", Text("FILE"), None, "The certificate chain (PEM); turns TLS on."),
        Setting("keyfile", Text("FILE"), None, "The key of the certificate, when it is in another file."),
        Setting("ca_certs", Text("FILE"), None, "Certificates of authorities that sign client certificates."),
        Setting("cert_reqs", Integer(0, 2), 0,
                "Whether clients need a certificate: 0 no, 1 it is checked when given, 2 required."),
        Setting("ciphers", Text("CIPHERS"), None, "The ciphers to offer, in OpenSSL's notation."),
        Setting("sni_certificates", ListOf(_SniCertificate()), [],
                "HOSTNAME=CERTFILE[:KEYFILE], a certificate for clients that name HOSTNAME by SNI; '*.example.org' "
                "matches one label; may be given several times.", "--sni-certificate"),
        Setting("tls_minimum_version", Choice("TLSv1.2", "TLSv1.3"), "TLSv1.2",
                "The oldest TLS version that is spoken."),
        Setting("tls_handshake_timeout", Seconds(0.001), 10, "How long a TLS handshake may take."),
        Setting("certificate_reload", Seconds(), 0,
                "How often the certificate files are looked at; changed ones are read again without a dropped "
                "connection; with 0 only on a reload."),
        Setting("ssl_version", _Anything(), None, "Accepted for old config files.",
                inert="has no effect: the TLS versions are chosen by Python, or by the ssl_context hook"),
        Setting("suppress_ragged_eofs", Boolean(), True, "Accepted for old config files.",
                inert="has no effect: an end without close_notify is always told apart from a clean one"),
        Setting("do_handshake_on_connect", Boolean(), False, "Accepted for old config files.",
                inert="has no effect: handshakes never block a worker"),
    ],
)  # fmt: skip
