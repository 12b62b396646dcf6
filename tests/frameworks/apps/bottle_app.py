import bottle

bottle.BaseRequest.MEMFILE_MAX = 16 * 1024 * 1024
app = bottle.Bottle()


@app.get("/")
def hello():
    return "hello"


@app.post("/upload")
def upload():
    return str(len(bottle.request.body.read()))


@app.get("/stream")
def stream():
    yield from ("one", "two", "three")


@app.get("/error")
def error():
    raise ValueError("secret")
