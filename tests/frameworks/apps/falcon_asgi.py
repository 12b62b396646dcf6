import falcon.asgi


class Started:
    value = "no"

    async def process_startup(self, scope, event):
        Started.value = "started"


class Hello:
    async def on_get(self, req, resp):
        resp.text = "hello"


class Upload:
    async def on_post(self, req, resp):
        resp.text = str(len(await req.stream.read()))


class Stream:
    async def on_get(self, req, resp):
        async def parts():
            for part in (b"one", b"two", b"three"):
                yield part

        resp.stream = parts()


class Error:
    async def on_get(self, req, resp):
        raise ValueError("secret")


class State:
    async def on_get(self, req, resp):
        resp.text = Started.value


class Echo:
    async def on_websocket(self, req, ws):
        await ws.accept()
        while True:
            try:
                await ws.send_text(await ws.receive_text())
            except falcon.WebSocketDisconnected:
                return


app = falcon.asgi.App(middleware=[Started()])
for route, resource in (
    ("/", Hello()), ("/upload", Upload()), ("/stream", Stream()), ("/error", Error()), ("/state", State()),
    ("/ws", Echo()),
):  # fmt: skip
    app.add_route(route, resource)
