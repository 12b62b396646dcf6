from contextlib import asynccontextmanager

from litestar import Litestar, MediaType, Request, WebSocket, get, post, websocket
from litestar.exceptions import WebSocketDisconnect
from litestar.response import Stream


@asynccontextmanager
async def lifespan(app):
    app.state.value = "started"
    yield


@get("/", media_type=MediaType.TEXT)
async def hello() -> str:
    return "hello"


@post("/upload", media_type=MediaType.TEXT, status_code=200, request_max_body_size=None)
async def upload(request: Request) -> str:
    return str(len(await request.body()))


@get("/stream")
async def stream() -> Stream:
    async def parts():
        for part in ("one", "two", "three"):
            yield part

    return Stream(parts())


@get("/error")
async def error() -> None:
    raise ValueError("secret")


@get("/state", media_type=MediaType.TEXT)
async def state(request: Request) -> str:
    return request.app.state.value


@websocket("/ws")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(await socket.receive_text())
    except WebSocketDisconnect:
        pass


app = Litestar([hello, upload, stream, error, state, echo], lifespan=[lifespan])
