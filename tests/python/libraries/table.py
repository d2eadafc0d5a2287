"""The libraries: how each is started, loaded and killed, and what may be different."""

import os
import secrets
import signal
from dataclasses import dataclass, field
from pathlib import Path

from loads import Messages, Requests
from sides import Alone, WithFiles

#: The virtual environments, one for all libraries that agree in the versions of what they need.
HOME = Path(os.environ["TALLYBOARD_TEST_HOME"])
CURRENT, OLDER = HOME / "current", HOME / "gunicorn-23"

#: LiteLLM has no default, and refuses one that is easy to guess.
KEY = f"sk-{secrets.token_hex(32)}"

GUNICORN = "gunicorn -w 2 -b 127.0.0.1:{port} "
UWSGI = "uwsgi --master --processes 2 --binary-path {python} --need-app "
MOUNTS = (
    "--http-socket 127.0.0.1:{port} --manage-script-name "
    "--mount /a=flask_uwsgi_lazy:app --mount /b=flask_uwsgi_lazy:app"
)
PATHS = {"/quick": 60, "/slow": 20, "POST /slow": 8, "/missing": 8}
FLASK = PATHS | {"/item/quick": 12, "/item/slow": 4}
DJANGO = Requests(
    {"/do/quick": 60, "/do/slow": 20, "/do/missing": 8},
    kills=("outside", "/do/die", "outside"),
    is_amid=True,
)


@dataclass(frozen=True)
class Library:
    """A way to use a library: a row of the table."""

    name: str
    #: The library as it is called on the index of packages, which has its version in a list.
    distribution: str
    #: The way in which it is used.
    way: str
    #: What its documentation says to start the application with.
    command: str
    #: Samples whose sum is the number of all that was answered: the last that the library counts.
    counted: str
    load: object = field(default_factory=lambda: Requests(PATHS))
    variables: dict = field(default_factory=dict)
    #: What is compared with.
    other: type = WithFiles
    #: The command with files, where it has to be another one.
    with_files: str = ""
    #: Port and path of the page that the library gives.
    page: str = "port/metrics"
    #: Whether it has the service on that page with files too; otherwise files are read as they are.
    has_page_with_files: bool = True
    headers: dict = field(default_factory=dict)
    #: What the program says when it is ready; otherwise its port tells.
    is_ready: str = ""
    #: Whether the application has a directory for files of its own.
    chooses_directory: bool = False
    #: Whether the variable stays set that says where files are.
    keeps_variable: bool = False
    #: What is different, and of which metrics.
    expected: dict = field(default_factory=dict)
    #: Labels whose values the library makes anew in each run.
    of_run: tuple = ()
    #: What its own page adds to when it is asked for.
    counts_pages: str = ""
    environment: Path = CURRENT
    stop_signal: int = signal.SIGTERM


LIBRARIES = [
    Library(
        "flask-uwsgi",
        "prometheus-flask-exporter",
        "UWsgiPrometheusMetrics, metrics of the master, threads",
        UWSGI + "--threads 2 --http 127.0.0.1:{port} --module flask_uwsgi:app",
        "flask_http_request_total",
        Requests(FLASK),
        page="metrics/metrics",
        expected={"share": "shop_busy", "one process": "(flask|shop)_.*"},
        stop_signal=signal.SIGINT,
    ),
    Library(
        "flask-uwsgi-lazy",
        "prometheus-flask-exporter",
        "UWsgiPrometheusMetrics, --lazy-apps, endpoint in the application",
        UWSGI + "--threads 2 --http 127.0.0.1:{port} --module flask_uwsgi_lazy:app --lazy-apps",
        "flask_http_request_total",
        Requests(FLASK),
        expected={"share": "shop_busy"},
        stop_signal=signal.SIGINT,
    ),
    Library(
        "flask-uwsgi-mounts",
        "prometheus-flask-exporter",
        "UWsgiPrometheusMetrics, two mounts, each in an interpreter of its own",
        UWSGI + MOUNTS,
        "flask_http_request_total",
        Requests(
            {"/a/quick": 30, "/b/quick": 30, "/a/slow": 10, "/b/slow": 10},
            kills=("outside", "/a/die"),
        ),
        # Two interpreters of a process have one file, and each overwrites what the other wrote.
        with_files=UWSGI + MOUNTS + " --single-interpreter",
        page="port/a/metrics",
        expected={"share": "shop_busy"},
        stop_signal=signal.SIGINT,
    ),
    Library(
        "flask-gunicorn",
        "prometheus-flask-exporter",
        "GunicornPrometheusMetrics, metrics of the master",
        GUNICORN + "-c flask_gunicorn_conf.py flask_gunicorn:app",
        "flask_http_request_total",
        Requests(FLASK, is_amid=True),
        page="metrics/metrics",
        expected={"share": "shop_busy"},
    ),
    Library(
        "flask-internal",
        "prometheus-flask-exporter",
        "GunicornInternalPrometheusMetrics, gevent",
        GUNICORN + "-c flask_internal_conf.py -k gevent flask_internal:app",
        "flask_http_request_total",
        Requests(FLASK),
        expected={"share": "shop_busy"},
    ),
    Library(
        "flask-multiprocess",
        "prometheus-flask-exporter",
        "MultiprocessPrometheusMetrics, --preload, threads",
        GUNICORN + "-c upstream_conf.py --preload --threads 4 flask_multiprocess:app",
        "flask_http_request_total",
        Requests(FLASK),
        page="metrics/metrics",
        expected={"share": "shop_busy", "one process": "(flask|shop)_.*"},
    ),
    Library(
        "flask-processes",
        "prometheus-flask-exporter",
        "MultiprocessInternalPrometheusMetrics, a process for each request",
        "python flask_processes.py",
        "flask_http_request_total",
        Requests(FLASK, kills=("/die", "/die")),
        expected={"share": "shop_busy"},
    ),
    Library(
        "fastapi",
        "prometheus-fastapi-instrumentator",
        "uvicorn --workers",
        "uvicorn --workers 2 --host 127.0.0.1 --port {port} fastapi_app:app",
        "http_request_duration_seconds_count",
        expected={"dead": "http_requests_inprogress"},
    ),
    Library(
        "starlette",
        "starlette-exporter",
        "gunicorn with workers of uvicorn",
        GUNICORN + "-c upstream_conf.py -k uvicorn.workers.UvicornWorker starlette_app:app",
        "shop_request_duration_seconds_count",
        Requests(
            {
                f"{verb}/do/{kind}": count
                for verb, kind, count in [
                    ("", "quick", 60),
                    ("", "slow", 20),
                    ("POST ", "slow", 8),
                    ("", "missing", 8),
                ]
            },
            kills=("outside", "/do/die", "outside"),
        ),
    ),
    Library(
        "django",
        "django-prometheus",
        "gunicorn, the view, with PROMETHEUS_MULTIPROC_DIR still set",
        GUNICORN + "-c upstream_conf.py django_site:application",
        "django_http_responses_total_by_status_total",
        DJANGO,
        keeps_variable=True,
        counts_pages=r"django_http_.*",
    ),
    Library(
        "django-uwsgi",
        "django-prometheus",
        "uWSGI, --lazy-apps, files of worker ids",
        UWSGI + "--lazy-apps --http-socket 127.0.0.1:{port} --module django_site",
        "django_http_responses_total_by_status_total",
        DJANGO,
        variables={"FILES_OF_WORKERS": "1"},
        expected={"share": "django_db_new_connections_total"},
        counts_pages=r"django_http_.*",
        stop_signal=signal.SIGINT,
    ),
    Library(
        "dramatiq",
        "dramatiq",
        "its Prometheus middleware, started again whenever it ends",
        "sh -c 'until dramatiq -p 2 -t 2 actors; do :; done'",
        "dramatiq_messages_total",
        Messages("import actors\ndef send(name): getattr(actors, name).send()", started=3),
        variables={"dramatiq_prom_host": "127.0.0.1", "dramatiq_prom_port": "{metrics}"},
        page="metrics/metrics",
        is_ready="is ready for action.",
        chooses_directory=True,
        expected={
            "dead": "dramatiq_messages_inprogress",
            "measured": "dramatiq_message_duration_milliseconds_(sum|bucket)",
        },
    ),
    Library(
        "aio",
        "prometheus-async",
        "decorators and server_stats, gunicorn with workers of aiohttp",
        GUNICORN + "-c upstream_conf.py -k aiohttp.GunicornWebWorker aio_app:make_app",
        "shop_seconds_count",
        has_page_with_files=False,
    ),
    Library(
        "gunicorn-exporter",
        "gunicorn-prometheus-exporter",
        "its worker class and hooks",
        GUNICORN + "-c exporter_conf.py exporter_app:app",
        "gunicorn_worker_requests_total",
        environment=OLDER,
        variables={
            "PROMETHEUS_METRICS_PORT": "{metrics}",
            "PROMETHEUS_BIND_ADDRESS": "127.0.0.1",
            "GUNICORN_WORKERS": "2",
        },
        page="metrics/metrics",
        expected={
            "one process": "gunicorn_.*",
            "measured": ".*_(percent|bytes|seconds|seconds_sum|seconds_bucket|state)",
        },
        of_run=("worker_id", "timestamp"),
    ),
    Library(
        "otel",
        "opentelemetry-exporter-prometheus",
        "gunicorn",
        GUNICORN + "otel_app:app",
        "shop_requests_total",
        other=Alone,
    ),
    Library(
        "otel-preload",
        "opentelemetry-exporter-prometheus",
        "gunicorn --preload",
        GUNICORN + "--preload otel_app:app",
        "shop_requests_total",
        other=Alone,
        expected={"drawn": "target_info"},
    ),
    Library(
        "celery",
        "celery",
        "metrics of the default registry, counted in worker_process_init too",
        "celery -A celery_shared worker -c 2 -l INFO",
        "shop_tasks_total|shop_warm_total",
        Messages(
            "import celery_shared\ndef send(name): getattr(celery_shared, name).delay(5)",
            counted=2,
            counted_of_dead=2,
        ),
        page="metrics/metrics",
        is_ready=" ready.",
    ),
    Library(
        "celery-private",
        "celery",
        "registries that are made in worker_process_init",
        "celery -A celery_private worker -c 2 -l INFO",
        "shop_tasks_total",
        Messages(
            "import celery_private\ndef send(name): getattr(celery_private, name).delay(5)",
            counted_of_dead=1,
        ),
        page="metrics/metrics",
        is_ready=" ready.",
    ),
    Library(
        "vllm",
        "prometheus-fastapi-instrumentator",
        "the shape of vLLM",
        "python inference_vllm.py",
        "http_request_duration_seconds_count",
        Requests(
            {"/quick": 60, "/slow": 20}, ("outside", "/die", "/engine-die"), counts_errors=True
        ),
        chooses_directory=True,
        expected={"dead": "engine:num_requests_running", "one process": "http_.*"},
    ),
    Library(
        "sglang",
        "prometheus-client",
        "the shape of SGLang",
        "python inference_sglang.py",
        "engine:e2e_request_latency_seconds_count",
        Requests({"/quick": 60, "/slow": 20}, ("/engine-die", "/engine-die"), workers=1),
        chooses_directory=True,
        expected={"dead": "engine:num_requests_running"},
    ),
    Library(
        "litellm",
        "litellm",
        "its proxy, which chooses the directory before the workers start",
        "litellm --config litellm.yaml --host 127.0.0.1 --port {port} --num_workers 2 "
        "--run_gunicorn",
        "litellm_request_total_latency_metric_count",
        Requests(
            {"POST /chat/completions": 48},
            kills=("outside", "outside"),
            body='{"model": "small", "messages": [{"role": "user", "content": "hello"}]}',
        ),
        variables={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": KEY,
            "LITELLM_TELEMETRY": "False",
        },
        page="port/metrics/",
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
        chooses_directory=True,
        expected={
            "share": "litellm_(active|check|deployment_state|remaining|teams|total_users).*",
            "measured": "litellm_.*_(sum|bucket)",
        },
        counts_pages="litellm_in_flight_requests",
        environment=OLDER,
    ),
]
