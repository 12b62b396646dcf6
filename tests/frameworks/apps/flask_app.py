from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/")
def hello():
    return "hello"


@app.post("/upload")
def upload():
    return str(len(request.get_data()))


@app.get("/stream")
def stream():
    return Response(iter(("one", "two", "three")))


@app.get("/error")
def error():
    raise ValueError("secret")
