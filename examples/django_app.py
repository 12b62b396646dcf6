"""Django in one file, both ways: ``server django_app:wsgi`` and ``server django_app:asgi -k asgi``."""

from __future__ import annotations

import json

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for this example",  # noqa: S106 - there is nothing to protect
)


def hello(request: HttpRequest) -> HttpResponse:
    """Greet."""
    return HttpResponse("Hello from Django\n", content_type="text/plain")


def echo(request: HttpRequest) -> JsonResponse:
    """Give back the JSON that was posted."""
    return JsonResponse({"got": json.loads(request.body)})


urlpatterns = [path("", hello), path("echo", echo)]

wsgi = get_wsgi_application()
asgi = get_asgi_application()
