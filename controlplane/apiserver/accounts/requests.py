"""serviceaccounts/token: a TokenRequest is answered with a token (pkg/registry/core/serviceaccount/storage/token.go).

And the two documents that let others verify tokens without asking: OpenID Connect discovery and the public keys
(https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery).
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from controlplane.apiserver import bodies, schema
from controlplane.apiserver.accounts.keys import ALGORITHM, LONGEST_TOKEN, SigningKeys
from controlplane.apiserver.accounts.tokens import AccountTokens, Bound
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.connections import read_body
from controlplane.apiserver.guard import CALL
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.causes import invalid, refusal
from controlplane.apiserver.negotiation import body_type
from controlplane.apiserver.node_authz import restrict_token
from controlplane.apiserver.request import Request, write_options
from controlplane.apiserver.verbs import admit
from controlplane.apiserver.warnings import told, warning_header
from shared import codec
from shared.api.core import Node, Secret, ServiceAccount
from shared.api.errors import BadRequest, Cause, Conflict, NotFound
from shared.api.meta import JSON, timestamp
from shared.api.pod import Pod
from shared.work.clock import Clock, SystemClock

PATH = "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"
GVK = ("authentication.k8s.io", "v1", "TokenRequest")

DEFAULT_SECONDS, LEAST_SECONDS = 3600, 600
_MOST_SECONDS = 1 << 32


class TokenRequests:
    """The handlers. ``server`` is the URL that the public keys are found at."""

    def __init__(
        self,
        api: ApiServer,
        tokens: AccountTokens,
        keys: SigningKeys,
        objects: Bound,
        server: str,
        clock: Clock = SystemClock(),
    ) -> None:
        self._api = api
        self._tokens, self._keys, self._objects, self._server, self._clock = tokens, keys, objects, server, clock

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post(PATH, self.create)
        app.router.add_get(DISCOVERY, self.discovery)
        app.router.add_get(KEYS, self.keys)

    async def create(self, request: web.Request) -> web.Response:
        """Raises BadRequest, Conflict, Forbidden, Invalid, NotFound, UnsupportedMediaType."""
        call = CALL.get()
        target = call.target
        tree = bodies.decode(await read_body(request), body_type(request.headers.get("Content-Type", "")), "Ignore", [])
        kind = self._api.kinds.find("", "v1", "serviceaccounts")
        assert kind is not None
        options = write_options("create", call.query)
        asked = Request(call.user, kind, target.namespace, target.name, "token", options, sent=GVK)
        admitted = await admit.sent(self._api, asked, admit.CREATE, _checked(tree))
        made = self._made(call.user, target.namespace, target.name, _checked(admitted))
        response = web.Response(status=201, body=codec.encode(made), content_type="application/json")
        for warning in told(asked.warnings):
            response.headers.add("Warning", warning_header(warning))
        return response

    def _made(self, user: User, namespace: str, name: str, tree: JSON) -> JSON:
        meta, spec = tree.get("metadata") or {}, tree.get("spec") or {}
        for field, wanted in (("name", name), ("namespace", namespace)):
            if meta.get(field) not in (None, "", wanted):
                raise BadRequest(f"the {field} of the token request ({meta[field]}) does not match the URL ({wanted})")
        account = self._objects.service_account(namespace, name)
        if account is None:
            raise NotFound(f'serviceaccounts "{name}" not found', kind="serviceaccounts", name=name)
        seconds = spec.get("expirationSeconds")
        seconds = DEFAULT_SECONDS if seconds is None else seconds
        if wrong := _seconds(seconds):
            raise refusal(GVK[0], GVK[2], name, wrong)
        seconds = min(seconds, int(LONGEST_TOKEN.total_seconds()))
        audiences = spec.get("audiences") or [self._tokens.issuer]
        bound = self._bound(account, spec.get("boundObjectRef"))
        restrict_token(user, spec, bound if isinstance(bound, Pod) else None)
        issued = self._tokens.issue(account, audiences, seconds, bound)
        created = timestamp(self._clock.now())
        return {
            "kind": GVK[2],
            "apiVersion": f"{GVK[0]}/{GVK[1]}",
            "metadata": meta | {"name": name, "namespace": namespace, "creationTimestamp": created},
            "spec": spec | {"audiences": audiences, "expirationSeconds": seconds,
                            "boundObjectRef": spec.get("boundObjectRef")},
            "status": {"token": issued.token, "expirationTimestamp": timestamp(issued.expires)},
        }  # fmt: skip

    def _bound(self, account: ServiceAccount, reference: JSON | None) -> Pod | Secret | Node | None:
        """What the token shall end with. Raises BadRequest, Conflict, NotFound."""
        if reference is None:
            return None
        kind, name = str(reference.get("kind", "")), str(reference.get("name", ""))
        namespace = account.metadata.namespace
        found: Pod | Secret | Node | None
        match reference.get("apiVersion") or "v1", kind:
            case "v1", "Pod":
                found = self._objects.pod(namespace, name)
            case "v1", "Secret":
                found = self._objects.secret(namespace, name)
            case "v1", "Node":
                found = self._objects.node(name)
            case _:
                raise BadRequest(f"cannot bind token to object of type {reference.get('apiVersion', '')}, Kind={kind}")
        plural = f"{kind.lower()}s"
        if found is None:
            raise NotFound(f'{plural} "{name}" not found', kind=plural, name=name)
        own = account.metadata.name
        if isinstance(found, Pod) and found.spec.service_account_name != own:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{own}" to pod running with different serviceaccount name.'
            )
        uid, known = reference.get("uid"), found.metadata.uid
        if uid and uid != known:
            raise Conflict(
                f'Operation cannot be fulfilled on {plural} "{name}": the UID in the bound object reference ({uid}) '
                "does not match the UID in record. The object might have been deleted and then recreated",
                kind=plural, name=name,
            )  # fmt: skip
        return found

    async def discovery(self, request: web.Request) -> web.Response:
        """RFC 8414, as far as Kubernetes has it."""
        document = {
            "issuer": self._tokens.issuer,
            "jwks_uri": f"{self._server}{KEYS}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }
        return _public(document, "application/json")

    async def keys(self, request: web.Request) -> web.Response:
        return _public(self._keys.jwks(), "application/jwk-set+json")


def _checked(tree: Any) -> JSON:
    if not isinstance(tree, dict):
        raise BadRequest("the body must be a TokenRequest")
    tree.setdefault("apiVersion", f"{GVK[0]}/{GVK[1]}")
    tree.setdefault("kind", GVK[2])
    if (tree["apiVersion"], tree["kind"]) != (f"{GVK[0]}/{GVK[1]}", GVK[2]):
        raise BadRequest(f"the body must be a TokenRequest of {GVK[0]}/{GVK[1]}")
    if wrong := schema.check_gvk(GVK, tree).type_errors:
        raise BadRequest(wrong[0])
    return tree


def _seconds(seconds: int) -> list[Cause]:
    if seconds < LEAST_SECONDS:
        return [invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")]
    if seconds > _MOST_SECONDS:
        return [invalid("spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")]
    return []


def _public(document: JSON, content_type: str) -> web.Response:
    headers = {"Cache-Control": "public, max-age=3600"}
    return web.Response(body=codec.encode(document), content_type=content_type, headers=headers)
