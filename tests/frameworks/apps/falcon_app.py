import falcon


class Hello:
    def on_get(self, req, resp):
        resp.text = "hello"


class Upload:
    def on_post(self, req, resp):
        resp.text = str(len(req.bounded_stream.read()))


class Stream:
    def on_get(self, req, resp):
        resp.stream = iter((b"one", b"two", b"three"))


class Error:
    def on_get(self, req, resp):
        raise ValueError("secret")


app = falcon.App()
for route, resource in (("/", Hello()), ("/upload", Upload()), ("/stream", Stream()), ("/error", Error())):
    app.add_route(route, resource)
