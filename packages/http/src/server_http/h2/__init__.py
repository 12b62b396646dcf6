"""HTTP/2 (RFC 9113) over the ``h2`` library, which is imported when the first such connection opens."""
