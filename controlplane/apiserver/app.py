"""HTTP in front of the verbs: the guard before every route, and one dispatcher for every resource.

Wiring of one application; what a request passes on its way is in ``guard``. Never touches the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from controlplane.apiserver.aggregation.handler import Aggregator
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.audit.auditor import Auditor
from controlplane.apiserver.dispatch import Dispatcher
from controlplane.apiserver.guard import CALL, MAX_BODY, Authenticates, Authorizes, Guard
from controlplane.apiserver.overload import Overload
from controlplane.apiserver.pages import Pages


def build_app(
    api: ApiServer,
    authenticator: Authenticates,
    authorizer: Authorizes,
    extra: Sequence[Callable[[web.Application], None]] = (),
    overload: Overload | None = None,
    auditor: Auditor | None = None,
    aggregator: Aggregator | None = None,
) -> web.Application:
    """The application. ``extra`` adds routes of other parts; they stand before ours and behind the same guard,
    and read who asks from ``guard.CALL``."""
    guard = Guard(authenticator, authorizer, overload or Overload(), auditor, _served(api))
    app = web.Application(client_max_size=MAX_BODY)
    app.middlewares.append(guard.middleware())
    for add_routes in extra:
        add_routes(app)
    dispatcher, pages = Dispatcher(api, authorizer), Pages(api, aggregator)

    async def handle(request: web.Request) -> web.StreamResponse:
        call = CALL.get()
        if aggregator is not None and (elsewhere := aggregator.delegate(request, call)) is not None:
            return await elsewhere
        if call.target.resource:
            return await dispatcher.serve(request, call.target, call.verb, call.query, call.user)
        return await pages.serve(request, call.target.path, call.query)

    app.router.add_route("*", "/{path:.*}", handle)
    app.on_shutdown.append(_closer(api))
    app.on_response_prepare.append(guard.prepare)
    return app


_AGENTS_OWN = frozenset(("nodes", subresource) for subresource in ("heartbeat", "tunnel", "streams"))


def _served(api: ApiServer) -> Callable[[tuple[str, str]], bool]:
    def served(pair: tuple[str, str]) -> bool:
        return pair in _AGENTS_OWN or pair in api.kinds.subresources

    return served


def _closer(api: ApiServer) -> Callable[[web.Application], Awaitable[None]]:
    async def close(app: web.Application) -> None:
        api.close()

    return close
