"""Flask's hello."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    """13 octets."""
    return "Hello, World!"
