from django_common import wsgi as app  # noqa: F401
