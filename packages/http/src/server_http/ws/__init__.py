"""WebSocket (RFC 6455, RFC 7692, RFC 8441), sans I/O: the handshake and the frames, over any stream of octets."""
