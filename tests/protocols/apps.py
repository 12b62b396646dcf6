"""One application for WSGI and for ASGI that says what it was told of a request.

Routes: ``/facts`` (as JSON), ``/echo`` (the body), ``/big`` (1 MiB), ``/stream`` (three parts of unknown length),
``/file`` (the file named by the query, the fastest way a server offers).
"""

SIZE = 1024 * 1024

APPS = '''
import json
import os

BIG = bytes(range(256)) * 4096


def app(environ, start_response):
    path = environ["PATH_INFO"]
    kind = [("Content-Type", "application/octet-stream")]
    if path.endswith("/echo"):
        body = environ["wsgi.input"].read()
    elif path.endswith("/big"):
        body = BIG
    elif path.endswith("/stream"):
        start_response("200 OK", kind)
        return iter([b"one,", b"two,", b"three"])
    elif path.endswith("/file"):
        file = open(environ["QUERY_STRING"], "rb")
        start_response("200 OK", kind + [("Content-Length", str(os.fstat(file.fileno()).st_size))])
        return environ["wsgi.file_wrapper"](file)
    else:
        strings = {key: value for key, value in environ.items() if isinstance(value, str)}
        strings["pid"] = str(os.getpid())
        body = json.dumps(strings).encode()
    start_response("200 OK", kind + [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    path = scope["path"]
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/octet-stream")]}
    if path.endswith("/echo"):
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = b"".join(parts)
    elif path.endswith("/big"):
        body = BIG
    elif path.endswith("/stream"):
        await send(start)
        for part in (b"one,", b"two,", b"three"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})
        return
    elif path.endswith("/file"):
        name = scope["query_string"].decode()
        start["headers"].append((b"content-length", str(os.stat(name).st_size).encode()))
        await send(start)
        await send({"type": "http.response.pathsend", "path": name})
        return
    else:
        body = json.dumps(as_environ(scope)).encode()
    start["headers"].append((b"content-length", str(len(body)).encode()))
    await send(start)
    await send({"type": "http.response.body", "body": body})


def as_environ(scope):
    """The facts of a scope under the names an environ has."""
    facts = {
        "pid": str(os.getpid()),
        "wsgi.url_scheme": scope["scheme"],
        "PATH_INFO": scope["path"][len(scope["root_path"]):],
        "SCRIPT_NAME": scope["root_path"],
        "REMOTE_ADDR": scope["client"][0] if scope["client"] else "",
        "REMOTE_PORT": str(scope["client"][1]) if scope["client"] else "",
        "REQUEST_METHOD": scope["method"],
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
    }
    for name, value in scope["headers"]:
        facts["HTTP_" + name.decode().upper().replace("-", "_")] = value.decode()
    facts.update(scope["extensions"].get("server.proxy", {}))
    tls = scope["extensions"].get("tls")
    if tls is not None:
        facts["HTTPS"] = "on"
        facts["SSL_PROTOCOL"] = {0x303: "TLSv1.2", 0x304: "TLSv1.3"}[tls["tls_version"]]
        facts["SSL_CLIENT_S_DN"] = tls["client_cert_name"] or ""
        facts["SSL_CLIENT_CERT"] = "".join(tls["client_cert_chain"][:1])
        facts["SSL_CLIENT_VERIFY"] = "SUCCESS" if tls["client_cert_name"] else "NONE"
    return facts
'''
