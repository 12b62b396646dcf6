"""One Django project for both gateways."""

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=__name__,
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    LOGGING_CONFIG=None,
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, StreamingHttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402


def hello(request):
    return HttpResponse("hello")


@csrf_exempt
def upload(request):
    return HttpResponse(str(len(request.body)))


def stream(request):
    if request.META.get("asgi") or hasattr(request, "scope"):

        async def parts():
            for part in ("one", "two", "three"):
                yield part

        return StreamingHttpResponse(parts())
    return StreamingHttpResponse(iter(("one", "two", "three")))


def error(request):
    raise ValueError("secret")


urlpatterns = [path("", hello), path("upload", upload), path("stream", stream), path("error", error)]
wsgi = get_wsgi_application()
asgi = get_asgi_application()
