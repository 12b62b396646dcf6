from django_common import asgi as app  # noqa: F401
