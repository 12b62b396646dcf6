"""FastAPI's hello."""

from __future__ import annotations

from typing import Dict

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello() -> Dict[str, str]:
    """A small JSON object."""
    return {"message": "Hello, World!"}
