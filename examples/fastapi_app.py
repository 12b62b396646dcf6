"""FastAPI with a lifespan: ``server fastapi_app:app -k asgi``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any, AsyncIterator, Dict

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[Dict[str, Any]]:
    """What is made here is there in every request, as ``request.state``."""
    yield {"greeting": "Hello from FastAPI"}


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def hello() -> Dict[str, str]:
    """Greet."""
    return {"message": "Hello from FastAPI"}


@app.post("/echo")
async def echo(posted: Dict[str, Any]) -> Dict[str, Any]:
    """Give back the JSON that was posted."""
    return {"got": posted}
