from pyramid.config import Configurator
from pyramid.response import Response


def hello(request):
    return Response("hello")


def upload(request):
    return Response(str(len(request.body)))


def stream(request):
    return Response(app_iter=iter((b"one", b"two", b"three")))


def error(request):
    raise ValueError("secret")


with Configurator() as config:
    for name, path, view in (
        ("hello", "/", hello), ("upload", "/upload", upload), ("stream", "/stream", stream), ("error", "/error", error),
    ):  # fmt: skip
        config.add_route(name, path)
        config.add_view(view, route_name=name)
    app = config.make_wsgi_app()
