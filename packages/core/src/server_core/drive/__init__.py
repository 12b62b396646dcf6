"""Drivers: what moves octets between sockets and engines, and gives streams to the application."""
