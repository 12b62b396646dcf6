from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse, StreamingResponse


@asynccontextmanager
async def lifespan(app):
    yield {"value": "started"}


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=PlainTextResponse)
async def hello():
    return "hello"


@app.post("/upload", response_class=PlainTextResponse)
async def upload(request: Request):
    return str(len(await request.body()))


@app.get("/stream")
async def stream():
    async def parts():
        for part in ("one", "two", "three"):
            yield part

    return StreamingResponse(parts())


@app.get("/error")
async def error():
    raise ValueError("secret")


@app.get("/state", response_class=PlainTextResponse)
async def state(request: Request):
    return request.state.value


@app.websocket("/ws")
async def echo(websocket: WebSocket):
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass
