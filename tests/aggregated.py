"""A small API server of group ``demo.example`` for tests of aggregation: as strict about who asks as a real one."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

GROUP, VERSION = "demo.example", "v1"
ROOT = f"/apis/{GROUP}/{VERSION}"
_WIDGET = f"{'example.demo'}.{VERSION}.Widget"


class DemoServer:
    """Widgets in memory. ``asked`` holds the identities it was told of, by path."""

    def __init__(self) -> None:
        self.widgets: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: list[tuple[str, str, list[str]]] = []
        self.extra: dict[str, str] = {}
        """What else the last request said of who asks."""
        self.port = 0
        self.changed = asyncio.Event()

    @contextmanager
    def running(self, certificate: Path, key: Path, front_proxy_ca: str) -> Iterator[None]:
        """Serve in a thread, on every address of the network namespace."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=front_proxy_ca)
        context.load_cert_chain(certificate, key)
        context.verify_mode = ssl.CERT_REQUIRED
        loop = asyncio.new_event_loop()
        runner = web.AppRunner(self._app(), shutdown_timeout=1)

        async def start() -> None:
            await runner.setup()
            site = web.TCPSite(runner, "0.0.0.0", 0, ssl_context=context)
            await site.start()
            self.port = runner.addresses[0][1]

        thread = threading.Thread(target=loop.run_forever, name="demo API server", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(start(), loop).result(10)
            yield
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._identify])
        app.router.add_get(ROOT, self._resources)
        app.router.add_get("/openapi/v3", self._documents)
        app.router.add_get(f"/openapi/v3{ROOT}", self._document)
        for path in (f"{ROOT}/widgets", f"{ROOT}/namespaces/{{namespace}}/widgets"):
            app.router.add_get(path, self._list)
        app.router.add_post(f"{ROOT}/namespaces/{{namespace}}/widgets", self._create)
        one = f"{ROOT}/namespaces/{{namespace}}/widgets/{{name}}"
        app.router.add_get(one, self._get)
        app.router.add_delete(one, self._delete)
        return app

    @web.middleware
    async def _identify(self, request: web.Request, handler: Any) -> web.StreamResponse:
        subject = dict(part[0] for part in request.get_extra_info("peercert")["subject"])
        assert subject["commonName"] == "front-proxy-client"
        groups = request.headers.getall("X-Remote-Group", [])
        self.asked.append((request.path, ",".join(request.headers.getall("X-Remote-User")), groups))
        self.extra = {key: value for key, value in request.headers.items() if key.startswith("X-Remote-Extra-")}
        assert "Authorization" not in request.headers
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _resources(self, request: web.Request) -> web.Response:
        verbs = ["create", "delete", "get", "list", "watch"]
        widgets = {"name": "widgets", "singularName": "widget", "namespaced": True, "kind": "Widget", "verbs": verbs}
        return web.json_response(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{VERSION}",
             "resources": [widgets | {"shortNames": ["wd"]}]}
        )  # fmt: skip

    async def _documents(self, request: web.Request) -> web.Response:
        url = f"/openapi/v3{ROOT}?hash=CAFE"
        return web.json_response({"paths": {ROOT[1:]: {"serverRelativeURL": url}}})

    async def _document(self, request: web.Request) -> web.Response:
        gvk = {"group": GROUP, "version": VERSION, "kind": "Widget"}
        widget = {
            "type": "object", "description": "A widget of the demo.", "x-kubernetes-group-version-kind": [gvk],
            "properties": {"size": {"type": "integer", "description": "How large it is."}},
        }  # fmt: skip
        operation = {"x-kubernetes-action": "get", "x-kubernetes-group-version-kind": gvk, "responses": {}}
        return web.json_response(
            {"openapi": "3.0.0", "info": {"title": "demo", "version": "1"},
             "paths": {f"{ROOT}/namespaces/{{namespace}}/widgets/{{name}}": {"get": operation}},
             "components": {"schemas": {_WIDGET: widget}}}
        )  # fmt: skip

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            return await self._watch(request)
        inside = request.match_info.get("namespace")
        items = [widget for (namespace, _), widget in self.widgets.items() if inside in (None, namespace)]
        return web.json_response(
            {"kind": "WidgetList", "apiVersion": f"{GROUP}/{VERSION}", "metadata": {"resourceVersion": "1"},
             "items": items}
        )  # fmt: skip

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for widget in list(self.widgets.values()):
            await response.write(json.dumps({"type": "ADDED", "object": widget}).encode() + b"\n")
        self.changed.clear()
        await self.changed.wait()
        for widget in list(self.widgets.values()):
            await response.write(json.dumps({"type": "MODIFIED", "object": widget}).encode() + b"\n")
        return response

    async def _create(self, request: web.Request) -> web.Response:
        widget = await request.json()
        namespace, name = request.match_info["namespace"], widget["metadata"]["name"]
        widget["metadata"] |= {"namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "2"}
        self.widgets[namespace, name] = widget
        self.changed.set()
        return web.json_response(widget, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        widget = self.widgets.get((request.match_info["namespace"], request.match_info["name"]))
        return _none(request) if widget is None else web.json_response(widget)

    async def _delete(self, request: web.Request) -> web.Response:
        widget = self.widgets.pop((request.match_info["namespace"], request.match_info["name"]), None)
        if widget is None:
            return _none(request)
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})


def _none(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    return web.json_response(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
         "message": f'widgets "{name}" not found', "details": {"name": name, "kind": "widgets", "group": GROUP}},
        status=404,
    )  # fmt: skip
