"""Steering a running server: the protocol, the socket in the arbiter's loop, the commands, the client."""
