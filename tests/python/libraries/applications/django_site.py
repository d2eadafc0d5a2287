"""A site of Django in one file, with middlewares, database and cache of django-prometheus."""

import os

import django
import steady
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import include, path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    CACHES={"default": {"BACKEND": "django_prometheus.cache.backends.locmem.LocMemCache"}},
    DATABASES={"default": {"ENGINE": "django_prometheus.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django_prometheus"],
    MIDDLEWARE=[
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django_prometheus.middleware.PrometheusAfterMiddleware",
    ],
    PROMETHEUS_EXPORT_MIGRATIONS=False,
    PROMETHEUS_LATENCY_BUCKETS=(0.125, 0.5, 1, float("inf")),
    ROOT_URLCONF=__name__,
    SECRET_KEY="of no use",
)
if os.environ.get("FILES_OF_WORKERS"):
    # What the library's documentation says for uWSGI: files are named for workers, not for pids.
    import prometheus_client
    import uwsgi

    prometheus_client.values.ValueClass = prometheus_client.values.MultiProcessValue(
        process_identifier=uwsgi.worker_id
    )
django.setup()


def answer(request, kind):
    from django.core.cache import cache
    from django.db import connection

    if kind == "missing":
        return HttpResponse("nothing here", status=404)
    cache.get("never set")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse(steady.answer(kind))


urlpatterns = [
    path("do/<kind>", answer, name="answer"),
    path("", include("django_prometheus.urls")),
]
application = get_wsgi_application()
