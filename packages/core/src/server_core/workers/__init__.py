"""The WSGI worker classes of this distribution: ``sync`` and ``gthread``."""
