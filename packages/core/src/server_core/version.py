"""The version of this distribution; it owns nothing else."""

__version__ = "0.1.0"

PRODUCT = "server"  # the name in log lines and the Server field
