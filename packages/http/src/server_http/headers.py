"""The one header policy: which fields of a request count, and whom to believe.

Owns: which field names may be seen, the sets of trusted addresses, and what a trusted proxy may say
about scheme, client, host and mount point. Every engine (HTTP/1, HTTP/2, uwsgi) hands its requests
to ``HeaderPolicy.apply``.
Must not know: how a field arrived, settings, sockets. Trust is decided once per connection.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Tuple, Union

from server_http.engine import ConnectionInfo
from server_http.errors import BadRequest, ConfigurationProblem
from server_http.events import Header, Headers, Request
from server_http.fields import split_authority
from server_http.forwarded import (
    Node,
    element_at,
    parse_forwarded,
    parse_node,
    parse_port,
    parse_request_start,
    values_at,
)
from server_http.lines import FieldLines, name_mark
from server_http.record import Record, derived

try:
    import cython
except ImportError:  # Cython is a build requirement only
    from server_http import _cython as cython  # type: ignore[no-redef]

DEFAULT_SCHEME_HEADERS: Mapping[str, str] = {
    "X-FORWARDED-PROTOCOL": "ssl",
    "X-FORWARDED-PROTO": "https",
    "X-FORWARDED-SSL": "on",
}

#: When the proxy took the request: its queue time begins there.
REQUEST_START = b"x-request-start"

LOOPBACK: Tuple[str, ...] = ("127.0.0.1", "::1")

_Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


class AddressSet:
    """Addresses that are trusted: single ones, strict CIDR blocks, or ``*`` for all.

    Args:
        values: addresses, networks without host bits, or ``*``.
        name: the setting they come from, for error texts.

    Raises:
        ValueError: an entry is none of these.
    """

    __slots__ = ("_hosts", "_networks", "_wide", "every")

    def __init__(self, values: Iterable[str], name: str = "addresses") -> None:
        self.every = False
        hosts = set()
        networks: List[_Network] = []
        for value in values:
            if value == "*":
                self.every = True
                continue
            try:
                network = ipaddress.ip_network(value)
            except ValueError as error:
                raise ValueError(f"{name}: expected an address, a CIDR block or '*', got {value!r} ({error})") from None
            if network.num_addresses == 1:
                hosts.add(str(network.network_address))
            networks.append(network)
        self._hosts = frozenset(hosts)
        self._networks = tuple(networks)
        self._wide = len(hosts) < len(set(networks))  # some entry is more than one address

    def has(self, address: Optional[Tuple[str, int]]) -> bool:
        """Whether a peer belongs to the set. A unix peer (None) always does: whoever reaches the
        socket's file has been let in by its permissions."""
        if address is None or self.every:
            return True
        host = address[0]
        if host in self._hosts:
            return True
        if not self._wide and ":" not in host:
            return False  # IPv4 has one spelling, which is not among the hosts
        return self._within(host)

    def _within(self, address: str) -> bool:
        """Whether one of the networks has an address."""
        try:
            host = ipaddress.ip_address(address)
        except ValueError:
            return False
        if host.version == 6 and host.ipv4_mapped is not None:  # an IPv4 peer of a dual-stack listener
            host = host.ipv4_mapped
        for network in self._networks:  # noqa: SIM110 - a plain loop is what becomes C
            if host in network:
                return True
        return False


class HeaderPolicy(Record):
    """The header rules of one listener; immutable and shared by all of its connections.

    Args:
        header_map: what becomes of names with ``_``, which CGI cannot tell from ``-``: ``"drop"``, ``"refuse"``
            or ``"dangerous"`` (keep).
        forwarder_headers: names with ``_`` that a trusted proxy may set all the same; ``*`` for all.
        secure_scheme_headers: fields of a trusted proxy and the value by which each says https; not read where
            ``Forwarded`` is.
        forwarded_allow_ips: addresses, strict CIDR blocks or ``*``: whose word counts.
        forwarded_hops: proxies between the client and this server, of which each adds itself to the forwarding
            fields; 0 leaves client and host as the connection says.
        forwarded_header: which fields ``forwarded_hops`` reads: ``"x-forwarded"`` or ``"forwarded"`` (RFC 7239).
            Never both, because a proxy that writes one passes the other on from anybody.
        script_name: the mount prefix of every request, as the environment variable ``SCRIPT_NAME`` sets it.
        trusted_only: names that are taken from trusted peers and dropped from all others (a request id).
    """

    header_map: str = "drop"
    forwarder_headers: Tuple[str, ...] = ("SCRIPT_NAME", "PATH_INFO")
    secure_scheme_headers: Mapping[str, str] = DEFAULT_SCHEME_HEADERS
    forwarded_allow_ips: Tuple[str, ...] = LOOPBACK
    forwarded_hops: int = 0
    forwarded_header: str = "x-forwarded"
    script_name: str = ""
    trusted_only: Tuple[str, ...] = ()

    def _settle(self, values: Dict[str, Any]) -> None:
        if self.header_map not in ("drop", "refuse", "dangerous"):
            raise ValueError(f"header_map: expected drop, refuse or dangerous, got {self.header_map!r}")
        if self.forwarded_header not in ("x-forwarded", "forwarded"):
            raise ValueError(f"forwarded_header: expected x-forwarded or forwarded, got {self.forwarded_header!r}")
        values.update(
            trusted_peers=AddressSet(self.forwarded_allow_ips, "forwarded_allow_ips"),
            applied=AppliedPolicy(self),
        )

    # derived once from the fields above
    trusted_peers: AddressSet = derived(init=False)
    applied: AppliedPolicy = derived(init=False)

    def trusts(self, info: ConnectionInfo) -> bool:
        """Whether the other end of a connection is a proxy whose fields count, and that may speak cleartext
        HTTP/2. Asked once per connection."""
        return self.trusted_peers.has(info.peer)

    def apply(self, request: Request, trusted: bool, underscored: bool) -> None:
        """Apply the policy to a request; see ``AppliedPolicy.apply``."""
        self.applied.apply(request, trusted, underscored)


class AppliedPolicy:
    """A policy as it meets requests: what it decides by, at hand for each of them.

    Args:
        policy: the settings.

    Attributes:
        always: every request is to be given to ``apply``, also those of strangers.
    """

    __slots__ = (
        "_forwarded_header", "_forwarders", "_header_map", "_hops", "_mount", "_schemes", "_watched", "_withheld",
        "always",
    )  # fmt: skip

    def __init__(self, policy: HeaderPolicy) -> None:
        self._header_map = policy.header_map
        self._hops = policy.forwarded_hops
        self._forwarded_header = policy.forwarded_header
        # A proxy that writes Forwarded says the scheme there and passes X-Forwarded-Proto on from anybody.
        said_by_fields = {} if self._hops and self._forwarded_header == "forwarded" else policy.secure_scheme_headers
        self._schemes = {
            name.lower().encode("latin-1"): value.lower().encode("latin-1") for name, value in said_by_fields.items()
        }
        self._forwarders = frozenset(name.lower().encode("latin-1") for name in policy.forwarder_headers)
        watched = set(self._schemes) | (self._forwarders & {b"script_name"}) | {REQUEST_START}
        if b"*" in self._forwarders:
            watched.add(b"script_name")
        if self._hops:
            watched |= _FORWARDING_FIELDS[self._forwarded_header]
        self._watched = Watched(watched)
        self._mount = policy.script_name.rstrip("/")
        self._withheld = frozenset(name.lower().encode("latin-1") for name in policy.trusted_only)
        self.always = self._mount != "" or len(self._withheld) > 0

    def apply(self, request: Request, trusted: bool, underscored: bool) -> None:
        """Apply the policy to a request that is otherwise complete.

        Without effect, so that an engine may skip it, unless ``trusted``, ``underscored`` or ``self.always``.

        Args:
            request: its scheme and client are those of the connection; it may get others, a server and a
                script_name, and lose fields.
            trusted: what ``HeaderPolicy.trusts`` said of the connection.
            underscored: a field name may contain ``_``. True is always right, False saves a pass.

        Raises:
            BadRequest: fields that are refused, or that contradict each other.
            ConfigurationProblem: the path is not below the mount point.
        """
        if underscored:
            request.headers = self._screened(request.headers, trusted)
        script = self._mount
        if trusted:
            fields = self._watched.of(request)
            if fields:
                script = self._believe(request, fields) or script
        elif self._withheld:
            request.headers = [item for item in request.headers if item[0] not in self._withheld]
        if script and request.script_name is None:  # uwsgi variables have named one
            _mount(request, script)

    def _screened(self, headers: Headers, trusted: bool) -> Headers:
        """Return the fields that may be seen: names with ``_`` pass only as the policy says."""
        admitted = self._forwarders if trusted else frozenset()
        kept = []
        for item in headers:
            name = item[0]
            if b"_" in name and name not in admitted and b"*" not in admitted:
                if self._header_map == "refuse":
                    raise BadRequest(f"field name: expected no '_', got {name!r} (header_map is refuse)")
                if self._header_map == "drop":
                    continue
            kept.append(item)
        return kept

    def _believe(self, request: Request, fields: Headers) -> str:
        """Apply what a trusted proxy said; returns the mount point it named, or ``""``."""
        scheme = self._said_scheme(fields)
        if scheme is not None:
            request.scheme = scheme
        if self._hops:
            _apply_forwarded(self._hops, self._forwarded_header, request, fields)
        script = ""
        for name, value in fields:
            if name == b"script_name":
                script = script or value.decode("latin-1").rstrip("/")
            elif name == REQUEST_START:  # of several the last: the nearest proxy's
                request.queued_since = parse_request_start(value)
        return script

    def _said_scheme(self, fields: Headers) -> Optional[str]:
        """Return the scheme that the secure-scheme fields agree on, or None when there are none.

        A list counts only where hops are counted: elsewhere nobody knows which entry to believe, and
        a value that is not exactly the configured one means http.
        """
        if self._hops:
            fields = [(name, values_at(fields, name, self._hops)) for name in self._schemes]
        scheme = None
        for name, value in fields:
            secure = self._schemes.get(name)
            if secure is None or not value:
                continue
            said = "https" if value == secure or value.strip().lower() == secure else "http"
            if scheme is not None and scheme != said:
                raise BadRequest(f"scheme: expected one, got fields that say http and https (from {name!r})")
            scheme = said
        return scheme


_FORWARDING_FIELDS: Mapping[str, FrozenSet[bytes]] = {
    "x-forwarded": frozenset({b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port"}),
    "forwarded": frozenset({b"forwarded"}),
}


def _apply_forwarded(hops: int, header: str, request: Request, fields: Headers) -> None:
    """Apply client and host as the outermost trusted proxy saw them (RFC 7239 section 4)."""
    if header == "forwarded":
        said = element_at(parse_forwarded(value for name, value in fields if name == b"forwarded"), hops)
        node, host, port = said.get(b"for", b""), said.get(b"host", b""), b""
        scheme = said.get(b"proto", b"").lower()
        if scheme in (b"http", b"https"):
            request.scheme = scheme.decode("ascii")
    else:
        node = values_at(fields, b"x-forwarded-for", hops, exact=True)
        host = values_at(fields, b"x-forwarded-host", hops)
        port = values_at(fields, b"x-forwarded-port", hops)
    if node:
        client: Optional[Node] = parse_node(node)
        request.client = client
    if host or (port and request.authority):
        _readdress(request, host, port)


def _readdress(request: Request, host: bytes, port: bytes) -> None:
    """Set authority, Host and server to what the client addressed."""
    name, own_port = split_authority(host or request.authority)
    number = parse_port(port) if port else own_port
    default = 443 if request.scheme == "https" else 80
    shown = b"[" + name + b"]" if b":" in name else name
    if number is not None and number != default:
        shown = b"%s:%d" % (shown, number)
    set_authority(request, shown)
    request.server = (name.decode("ascii"), default if number is None else number)


def _mount(request: Request, script: str) -> None:
    """Set the mount point, which the path must lie below (PEP 3333, ``SCRIPT_NAME``)."""
    prefix = script.encode("latin-1")
    path = request.path
    if path not in (prefix, b"*", b"") and not path.startswith(prefix + b"/"):
        raise ConfigurationProblem(f"SCRIPT_NAME: expected a prefix of the path {path!r}, got {script!r}")
    request.script_name = script


class Watched:
    """Names of fields that are looked for in every request.

    Args:
        names: in lower case.
    """

    __slots__ = ("_marks", "_names")

    def __init__(self, names: Iterable[bytes]) -> None:
        self._names = frozenset(names)
        marks = {name_mark(name) for name in self._names}
        self._marks = bytes(mark in marks for mark in range(256))  # which names to look up

    def of(self, request: Request) -> Headers:
        """Return the fields of a request that have one of the names, in order."""
        lines = request.lines
        if lines is not None:
            return self._among(lines)
        found = []
        names = self._names
        marks = self._marks
        headers = request.headers
        for item in headers:
            name = item[0]
            if cython.compiled and not marks[name_mark(name)]:
                continue
            if name in names:
                found.append(item)
        return found

    def _among(self, lines: FieldLines) -> Headers:
        """Return those of the lines that have one of the names; no other value is read."""
        found: Headers = []
        marks = self._marks
        for index, name in enumerate(lines.names):
            if marks[name.mark] and name.lower in self._names:
                found.append((name.lower, lines.value(index)))
        return found


def set_authority(request: Request, authority: bytes) -> None:
    """Make ``authority`` the one a request is for, in its Host field too (RFC 9112 section 3.2.2)."""
    request.authority = authority
    headers: List[Header] = [item for item in request.headers if item[0] != b"host"]
    headers.insert(0, (b"host", authority))
    request.headers = headers
