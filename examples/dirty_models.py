"""Heavy work beside the web workers: a text model, tokens as they come, images made smaller.

    pip install py3langid pillow
    server dirty_models:app -k asgi --dirty-app dirty_models:Languages --dirty-app dirty_models:Writer \
        --dirty-app dirty_models:Images --dirty-workers 2 --dirty-threads 8

    curl 'localhost:8000/language?text=Guten+Morgen'
    curl -N 'localhost:8000/write?words=40'
    curl --data-binary @photo.jpg 'localhost:8000/thumbnail?size=200' > thumbnail.jpg
"""

from __future__ import annotations

import io
import json
import random
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Iterator, List
from urllib.parse import parse_qs

from server_dirty import DirtyApp, DirtyBusyError, DirtyError, batch, get_dirty_client_async

Message = Dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MOST_UPLOAD = 20 * 1024 * 1024  # octets
PAUSE = 0.02  # seconds a larger model would take for a word


class Languages(DirtyApp):
    """Tells the language of a text, by a model that the package brings along."""

    def init(self) -> None:
        """Load the model; the first text makes it complete."""
        import py3langid

        self.model = py3langid
        self.model.classify("warm")

    @batch(max_size=32, max_wait=0.002)
    def language(self, texts: List[str]) -> List[str]:
        """Return the language codes of the texts that several callers sent at about the same time."""
        return [str(self.model.classify(text)[0]) for text in texts]


class Writer(DirtyApp):
    """Writes on and on, word by word, in the manner of a text."""

    workers = 1

    def init(self) -> None:
        """Learn which words follow which."""
        words = (__doc__ or "").split()
        self.following: Dict[str, List[str]] = {}
        for word, following in zip(words, words[1:] + words[:1]):
            self.following.setdefault(word, []).append(following)

    def write(self, count: int) -> Iterator[str]:
        """Yield ``count`` words; closed when the reader has gone."""
        word = random.choice(list(self.following))  # noqa: S311 - prose, no secret
        for _ in range(count):
            yield word
            word = random.choice(self.following[word])  # noqa: S311
            time.sleep(PAUSE)


class Images(DirtyApp):
    """Makes images smaller."""

    def thumbnail(self, data: bytes, size: int) -> bytes:
        """Return the image in ``data`` as JPEG, at most ``size`` pixels wide and high."""
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            image.thumbnail((size, size))
            out = io.BytesIO()
            image.convert("RGB").save(out, "JPEG")
        return out.getvalue()


async def app(scope: Dict[str, Any], receive: Receive, send: Send) -> None:
    """Answer by path."""
    if scope["type"] != "http":
        raise ValueError(f"expected HTTP, got {scope['type']}")
    query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode()).items()}
    handler = HANDLERS.get(scope["path"])
    if handler is None:
        await respond(send, 404, b"expected /language, /write or /thumbnail\n")
        return
    try:
        await handler(query, receive, send)
    except DirtyBusyError:
        await respond(send, 503, b"busy, try again\n")
    except (DirtyError, ValueError):
        await respond(send, 400, b"this cannot be done\n")


async def language(query: Dict[str, str], _receive: Receive, send: Send) -> None:
    """Answer with the language of ``text``."""
    client = await get_dirty_client_async(timeout=10)
    code = await client.execute_async("dirty_models:Languages", "language", query.get("text", ""))
    await respond(send, 200, json.dumps({"language": code}).encode(), b"application/json")


async def write(query: Dict[str, str], _receive: Receive, send: Send) -> None:
    """Send words as server-sent events. A reader that leaves ends this function, and with it the generator."""
    client = await get_dirty_client_async(timeout=60)
    words: AsyncIterator[str] = client.stream_async("dirty_models:Writer", "write", int(query.get("words", "20")))
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for word in words:
        await send({"type": "http.response.body", "body": f"data: {word}\n\n".encode(), "more_body": True})
    await send({"type": "http.response.body", "body": b"event: end\ndata:\n\n"})


async def thumbnail(query: Dict[str, str], receive: Receive, send: Send) -> None:
    """Answer with the uploaded image made smaller."""
    body = b""
    while len(body) <= MOST_UPLOAD:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    else:
        await respond(send, 413, b"expected at most 20 MiB\n")
        return
    client = await get_dirty_client_async(timeout=30)
    small = await client.execute_async("dirty_models:Images", "thumbnail", body, int(query.get("size", "200")))
    await respond(send, 200, small, b"image/jpeg")


HANDLERS = {"/language": language, "/write": write, "/thumbnail": thumbnail}


async def respond(send: Send, status: int, body: bytes, kind: bytes = b"text/plain") -> None:
    """Send a whole response."""
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
