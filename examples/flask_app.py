"""Flask: ``server flask_app:app``, or with threads ``server flask_app:app -k gthread --threads 4``."""

from __future__ import annotations

from typing import Any, Dict

from flask import Flask, request

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    """Greet."""
    return "Hello from Flask\n"


@app.post("/echo")
def echo() -> Dict[str, Any]:
    """Give back the JSON that was posted."""
    return {"got": request.get_json()}
