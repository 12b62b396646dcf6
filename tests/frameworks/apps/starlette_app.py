from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect


@asynccontextmanager
async def lifespan(app):
    yield {"value": "started"}


async def hello(request):
    return PlainTextResponse("hello")


async def upload(request):
    size = 0
    async for part in request.stream():
        size += len(part)
    return PlainTextResponse(str(size))


async def stream(request):
    async def parts():
        for part in ("one", "two", "three"):
            yield part

    return StreamingResponse(parts())


async def error(request):
    raise ValueError("secret")


async def state(request):
    return PlainTextResponse(request.state.value)


async def echo(websocket):
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


class Pass(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        return await call_next(request)


app = Starlette(
    lifespan=lifespan,
    middleware=[Middleware(Pass)],
    routes=[
        Route("/", hello), Route("/upload", upload, methods=["POST"]), Route("/stream", stream), Route("/error", error),
        Route("/state", state), WebSocketRoute("/ws", echo),
    ],
)  # fmt: skip
