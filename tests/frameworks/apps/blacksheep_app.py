from blacksheep import Application, Request, Response, StreamedContent, WebSocket, get, post, text, ws
from blacksheep.server.websocket import WebSocketDisconnectError

app = Application()
STATE = {"value": "no"}


@app.on_start
async def start(application):
    STATE["value"] = "started"


@get("/")
async def hello():
    return text("hello")


@post("/upload")
async def upload(request: Request):
    return text(str(len(await request.read() or b"")))


@get("/stream")
async def stream():
    async def parts():
        for part in (b"one", b"two", b"three"):
            yield part

    return Response(200, content=StreamedContent(b"text/plain", parts))


@get("/error")
async def error():
    raise ValueError("secret")


@get("/state")
async def state():
    return text(STATE["value"])


@ws("/ws")
async def echo(websocket: WebSocket):
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnectError:
        pass
