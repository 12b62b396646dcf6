"""Logs: the logger and its handlers (``setup``), lines of requests (``access``), formats (``json``, ``atoms``)."""
