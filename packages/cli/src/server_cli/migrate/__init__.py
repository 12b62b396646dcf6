"""``server migrate``: what becomes of a configuration that was written for another server."""
