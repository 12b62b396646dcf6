"""Settings of HTTP/2."""

from typing import Any

from server_core.settings.declare import Group, Setting
from server_core.settings.values import Choice, Integer, ListOf, Size, Unacceptable


class _Protocols(ListOf):
    """h1 and h2, each at most once, in the order of preference."""

    def __init__(self) -> None:
        super().__init__(Choice("h1", "h2"), ",", "a comma list of h1 and h2")

    def parse(self, value: Any) -> list[Any]:
        names = super().parse(value)
        if not names or len(set(names)) != len(names):
            raise Unacceptable
        return names


GROUP = Group(
    "HTTP/2",
    [
        Setting("http_protocols", _Protocols(), ["h1"],
                "The versions to offer, best first: h1, h2 or both as 'h2,h1'."),
        Setting("http2_cleartext",
                Choice("off", "prior-knowledge", "upgrade", "both", also={True: "prior-knowledge", False: "off"}),
                "off", "HTTP/2 without TLS, for peers of forwarded_allow_ips.", const="prior-knowledge"),
        Setting("http2_max_concurrent_streams", Integer(1, 2**31 - 1), 100,
                "How many requests of a connection may run at the same time."),
        Setting("http2_initial_window_size", Size(1, 2**31 - 1), 65535,
                "The flow-control window of a stream."),
        Setting("http2_max_frame_size", Size(16384, 16777215), 16384,
                "The largest frame that is taken."),
        Setting("http2_max_header_list_size", Size(), 65536,
                "The most bytes of the headers of a request, uncompressed; 0 means no limit."),
    ],
)  # fmt: skip
