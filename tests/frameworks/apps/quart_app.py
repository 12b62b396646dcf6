from quart import Quart, request, websocket

app = Quart(__name__)
STATE = {"value": "no"}


@app.before_serving
async def start():
    STATE["value"] = "started"


@app.get("/")
async def hello():
    return "hello"


@app.post("/upload")
async def upload():
    return str(len(await request.get_data()))


@app.get("/stream")
async def stream():
    async def parts():
        for part in ("one", "two", "three"):
            yield part

    return parts()


@app.get("/error")
async def error():
    raise ValueError("secret")


@app.get("/state")
async def state():
    return STATE["value"]


@app.websocket("/ws")
async def echo():
    while True:
        await websocket.send(await websocket.receive())
