"""The variable ``authorizer`` of expressions: what the user of a request, or a service account, may do.

After k8s.io/apiserver/pkg/cel/library/authz.go. Its values are maps of one member that names the type. They never hold
the user: who asks, and who decides, is what ``asking`` has set for the current task, so that an expression cannot make
up somebody to ask for. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from controlplane.apiserver.identity import Attributes, User
from shared.api import names

if TYPE_CHECKING:  # the library is loaded by the first expression
    from controlplane.apiserver.cel.functions import Function, Functions

Decide = Callable[[User, Attributes], str | None]
"""Why a user may do something, empty where nothing tells why; None when he may not."""

AUTHORIZER, PATH, GROUP, RESOURCE, DECISION = "authorizer", "pathCheck", "groupCheck", "resourceCheck", "decision"
_ASKING: ContextVar[tuple[Decide, User]] = ContextVar("asking")
_ACCOUNTS = "system:serviceaccounts"


@contextmanager
def asking(decide: Decide, user: User) -> Iterator[None]:
    """Who is asked about whom while expressions are evaluated."""
    token = _ASKING.set((decide, user))
    try:
        yield
    finally:
        _ASKING.reset(token)


def variable(request: Attributes) -> dict[str, Any]:
    """The variable for a request, whose own resource is its ``requestResource``."""
    own = {
        "who": "", "group": request.group, "resource": request.resource, "subresource": request.subresource,
        "namespace": request.namespace, "name": request.name,
    }  # fmt: skip
    return {AUTHORIZER: "", "requestResource": {RESOURCE: own}}


def declare(made: Functions) -> None:
    from cel_expr_python import cel

    T = cel.Type
    kind, text = T.MAP, T.STRING
    made.add("path", T.DYN, [kind, text], _path)
    made.add("group", T.DYN, [kind, text], lambda a, group: {GROUP: {"who": _of(a, AUTHORIZER), "group": group}})
    made.add("serviceAccount", T.DYN, [kind, text, text], _service_account)
    made.add("resource", T.DYN, [kind, text], _resource)
    for field in ("subresource", "namespace", "name", "fieldSelector", "labelSelector"):
        made.add(field, T.DYN, [kind, text], _narrowed(field))
    made.add("check", T.DYN, [kind, text], _check)
    made.add("allowed", T.BOOL, [kind], lambda d: bool(_of(d, DECISION)["allowed"]))
    made.add("reason", text, [kind], lambda d: str(_of(d, DECISION)["reason"]))
    made.add("errored", T.BOOL, [kind], lambda d: bool(_of(d, DECISION)["error"]))
    made.add("error", text, [kind], lambda d: str(_of(d, DECISION)["error"]))


def _of(value: dict[str, Any], kind: str) -> Any:
    if kind not in value:
        raise ValueError(f"no such overload: {kind} is wanted")
    return value[kind]


def _path(authorizer: dict[str, Any], path: str) -> dict[str, Any]:
    if not path.strip():
        raise ValueError("path must not be empty")
    return {PATH: {"who": _of(authorizer, AUTHORIZER), "path": path}}


def _service_account(authorizer: dict[str, Any], namespace: str, name: str) -> dict[str, Any]:
    _of(authorizer, AUTHORIZER)
    if names.dns_subdomain(name):
        raise ValueError("Invalid service account name")
    if names.dns_label(namespace):
        raise ValueError("Invalid service account namespace")
    return {AUTHORIZER: f"{namespace}/{name}"}


def _resource(group: dict[str, Any], resource: str) -> dict[str, Any]:
    if not resource.strip():
        raise ValueError("resource must not be empty")
    return {RESOURCE: {**_of(group, GROUP), "resource": resource}}


def _narrowed(field: str) -> Function:
    return lambda check, value: {RESOURCE: {**_of(check, RESOURCE), field: value}}


def _check(check: dict[str, Any], verb: str) -> dict[str, Any]:
    if PATH in check:
        asked = check[PATH]
        attributes = Attributes(verb, str(asked["path"]))
    else:
        asked = _of(check, RESOURCE)
        attributes = Attributes(
            verb, "", str(asked["group"]), "*", str(asked["resource"]), str(asked.get("subresource", "")),
            str(asked.get("namespace", "")), str(asked.get("name", "")), str(asked.get("fieldSelector", "")),
            str(asked.get("labelSelector", "")),
        )  # fmt: skip
    decide, user = _ASKING.get()
    reason = decide(_user(str(asked["who"]), user), attributes)
    # Authorities read the watch cache, and have no way to fail.
    return {DECISION: {"allowed": reason is not None, "reason": reason or "", "error": ""}}


def _user(who: str, user: User) -> User:
    if not who:
        return user
    namespace, _, name = who.partition("/")
    return User(f"system:serviceaccount:{namespace}:{name}", (_ACCOUNTS, f"{_ACCOUNTS}:{namespace}"))
