"""What is exposed: the default registry, and the pages that are made of it in each format."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from . import _arena, _collect, _moves, _native, _registries, _replaced, _waiting
from ._replaced import wrap


def patch_registry(registry: Any) -> None:
    """What a registry collects that shows the arena, and what is registered in which."""
    default = registry.REGISTRY
    base = registry.CollectorRegistry
    _collect.defaults.append(default)

    def collect(original: Any, self: Any) -> Iterable[Any]:
        is_shown = _registries.shows_arena(self)
        collected: Iterable[Any] = _registries.collect(self) if is_shown else original(self)
        return collected

    def collect_restricted(original: Any, self: Any) -> Iterable[Any]:
        restricted: Iterable[Any]
        if _registries.shows_arena(self._registry):
            restricted = _registries.restricted(self._registry, self._name_set)
        else:
            restricted = original(self)
        return restricted

    def restricted_registry(original: Any, self: Any, names: Iterable[str]) -> Any:
        is_shown = _registries.shows_arena(self)
        return _Restricted(self, set(names)) if is_shown else original(self, names)

    wrap(base, "collect", collect)
    if hasattr(registry, "RestrictedRegistry"):
        wrap(registry.RestrictedRegistry, "collect", collect_restricted)
    else:
        wrap(base, "restricted_registry", restricted_registry)
    _patch_registration(base, default)


def _patch_registration(base: Any, default: Any) -> None:
    """Where a metric counts that is registered, and what is registered in the default registry that
    is no metric."""

    def register(original: Any, self: Any, collector: Any) -> None:
        original(self, collector)
        if _replaced.has_failed():
            return
        if _arena.is_metric(collector):
            by_itself = self is not default or _arena.is_by_itself(collector)
            move_in(collector, by_itself, self is not default and _arena.keeps_registries_private())
        elif self is default:
            _collect.bridge(collector)

    def move_in(metric: Any, by_itself: bool, is_kept: bool) -> None:
        if not _arena.counts_alone(metric):
            _moves.mark(metric, alone=False, by_itself=by_itself)
        elif not is_kept:
            for missed in _moves.share(metric, by_itself):
                _arena.warn_once(metric._name, ValueError(missed))

    def unregister(original: Any, self: Any, collector: Any) -> None:
        original(self, collector)
        if self is not default:
            return
        if not _arena.is_metric(collector):
            _collect.unbridge(collector)
        elif not is_counting_still(collector) and not _replaced.has_failed():
            _arena.quietly(collector._name, lambda: _moves.part(collector))

    def is_counting_still(metric: Any) -> bool:
        # One of another registry, or of none, counts in the arena whatever the default one has.
        is_kept = _arena.keeps_registries_private()
        return _arena.counts_alone(metric) or (_arena.is_by_itself(metric) and not is_kept)

    def set_target_info(original: Any, self: Any, labels: dict[str, str] | None) -> None:
        original(self, labels)
        if self is default:
            _collect.set_target(labels)

    wrap(base, "register", register)
    wrap(base, "unregister", unregister)
    if hasattr(base, "set_target_info"):
        wrap(base, "set_target_info", set_target_info)


class _Restricted:
    """Some samples of a registry that shows the arena, where the version has no class for that."""

    def __init__(self, registry: Any, names: set[str]) -> None:
        self._registry = registry
        self._names = names

    def collect(self) -> Iterable[Any]:
        return _registries.restricted(self._registry, self._names)


def _page(registry: Any, accept: str) -> tuple[str, bytes]:
    """The page of a registry that is the arena: that of the default one as ``prometheus_client`` writes
    it, that of a ``MultiProcessCollector`` as the supervisor's port has it."""
    return _collect.exposition(accept, looks_like_its_own=_registries.is_default(registry))


def patch_openmetrics(openmetrics: Any) -> None:
    """``openmetrics.exposition.generate_latest``."""
    known = re.search(r"version=([\d.]+)", getattr(openmetrics, "CONTENT_TYPE_LATEST", ""))
    latest = known.group(1) if known else "1.0.0"

    def generate_latest(
        original: Any, registry: Any, escaping: str = "underscores", version: str = latest
    ) -> bytes:
        if not _registries.is_arena(registry):
            page: bytes = original(registry, *_known(original, escaping, version))
            return page
        accept = f"application/openmetrics-text;version={version};escaping={escaping}"
        return _page(registry, accept)[1]

    wrap(openmetrics, "generate_latest", generate_latest)


def _known(function: Any, *arguments: Any) -> tuple[Any, ...]:
    """As many arguments as an older version has parameters for, behind the registry."""
    return arguments[: function.__code__.co_argcount - 1]


def patch_exposition(exposition: Any) -> None:
    """``generate_latest``, and with it the WSGI and ASGI applications, the HTTP server and
    ``MetricsHandler``."""

    def generate_latest(
        original: Any, registry: Any = exposition.REGISTRY, escaping: str = "underscores"
    ) -> bytes:
        if not _registries.is_arena(registry):
            page: bytes = original(registry, *_known(original, escaping))
            return page
        # The answer to no header is the one format that has no escaping of its own.
        accept = (
            "" if escaping == "underscores" else f"text/plain;version=1.0.0;escaping={escaping}"
        )
        return _page(registry, accept)[1]

    wrap(exposition, "generate_latest", generate_latest)
    _patch_routes(exposition)
    bake = getattr(exposition, "_bake_output", None)
    if bake is None:
        return
    # Before 0.14 there is one header, as no coding is known.
    has_one_header = "disable_compression" not in bake.__code__.co_varnames
    wrap(exposition, "_bake_output", _bake_one if has_one_header else _bake(exposition))
    # It is imported while this module still runs.
    asgi = sys.modules.get("prometheus_client.asgi")
    if asgi is not None and vars(asgi).get("_bake_output") is bake:
        vars(asgi)["_bake_output"] = exposition._bake_output


#: Status, headers, page.
_Baked = tuple[str, list[tuple[str, str]], bytes]


def _bake(exposition: Any) -> Callable[..., _Baked]:

    def bake_output(
        original: Any,
        registry: Any,
        accept_header: str | None,
        accept_encoding_header: str | None,
        params: dict[str, list[str]],
        disable_compression: bool,
    ) -> _Baked:
        try:
            if not _registries.is_arena(registry) or "name[]" in params:
                baked: _Baked = original(
                    registry, accept_header, accept_encoding_header, params, disable_compression
                )
                return baked
            content_type, output = _page(registry, accept_header or "")
        except _native.Unavailable as error:
            return _unavailable(error)
        headers = [("Content-Type", content_type)]
        if not disable_compression and exposition.gzip_accepted(accept_encoding_header):
            # The level that costs least: a scrape is compressed to be sent once.
            output = exposition.gzip.compress(output, 1)
            headers.append(("Content-Encoding", "gzip"))
        return "200 OK", headers, output

    return bake_output


def _bake_one(original: Any, *arguments: Any) -> tuple[str, tuple[str, str], bytes]:
    try:
        baked: tuple[str, tuple[str, str], bytes] = original(*arguments)
        return baked
    except _native.Unavailable as error:
        status, headers, output = _unavailable(error)
        return status, headers[0], output


def _patch_routes(exposition: Any) -> None:
    """Applications and handlers know how long the scraper waits, and say that nobody answers."""
    wrap(exposition, "make_wsgi_app", _make_wsgi_app)
    wrap(exposition.MetricsHandler, "do_GET", _do_get)
    asgi = sys.modules.get("prometheus_client.asgi")
    if asgi is not None:
        wrap(asgi, "make_asgi_app", _make_asgi_app)
        exposition.make_asgi_app = vars(asgi)["make_asgi_app"]


def _make_wsgi_app(
    original: Any, *arguments: Any, **keywords: Any
) -> Callable[..., Iterable[bytes]]:
    app: Callable[..., Iterable[bytes]] = original(*arguments, **keywords)
    header = "HTTP_" + _waiting.HEADER.upper().replace("-", "_")

    @functools.wraps(app)
    def prometheus_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with _waiting.until_scraper_leaves(environ.get(header)):
            try:
                return app(environ, start_response)
            except _native.Unavailable as error:
                status, headers, output = _unavailable(error)
                start_response(status, headers)
                return [output]

    return prometheus_app


def _make_asgi_app(original: Any, *arguments: Any, **keywords: Any) -> Callable[..., Any]:
    app: Callable[..., Any] = original(*arguments, **keywords)
    header = _waiting.HEADER.lower().encode()

    @functools.wraps(app)
    async def prometheus_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        given = [value for name, value in scope.get("headers", ()) if name.lower() == header]
        with _waiting.until_scraper_leaves(given[0].decode("latin-1") if given else None):
            await app(scope, receive, send)

    return prometheus_app


def _do_get(original: Any, self: Any) -> None:
    with _waiting.until_scraper_leaves(self.headers.get(_waiting.HEADER)):
        original(self)


def _unavailable(error: Exception) -> _Baked:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    return "503 Service Unavailable", headers, f"{error}\n".encode()
