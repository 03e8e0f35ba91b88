"""Acting as somebody else (kubectl --as): who a request runs as when it names another user in its headers.

Whoever asks must be allowed to ``impersonate`` the user, each group, the uid and each extra that is named; then
only what the other may do counts (k8s.io/apiserver/pkg/endpoints/filters/impersonation.go). Pure but for the
authorizer that it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from controlplane.apiserver.identity import ANONYMOUS, Attributes, User
from shared.api.errors import BadRequest

USER, GROUP, UID, EXTRA = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-"
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"


def is_asked(headers: CIMultiDictProxy[str]) -> bool:
    """Whether a request asks to run as another."""
    return USER in headers or GROUP in headers or UID in headers or any(_extra(headers))


def wanted(headers: CIMultiDictProxy[str]) -> User:
    """The user to run as. Raises BadRequest for groups or a uid without a user."""
    name = headers.get(USER, "")
    if not name:
        raise BadRequest("requested uid, groups or user-extra without impersonating a user")
    groups = headers.getall(GROUP, [])
    if not groups and name.startswith(_ACCOUNT):
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{name.split(':')[2]}"]
    always = "system:unauthenticated" if name == ANONYMOUS.name else "system:authenticated"
    extra: dict[str, tuple[str, ...]] = {}
    for key, value in _extra(headers):
        extra[key] = (*extra.get(key, ()), value)
    named = (*(group for group in groups if group != always), always)
    return User(name, named, headers.get(UID, ""), tuple(extra.items()))


def permissions(headers: CIMultiDictProxy[str], path: str) -> Iterator[Attributes]:
    """What whoever asks must be allowed, one after the other."""

    def may(resource: str, name: str, *, group: str = "", namespace: str = "", subresource: str = "") -> Attributes:
        return Attributes("impersonate", path, group, "v1", resource, subresource, namespace, name)

    name = headers.get(USER, "")
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        yield may("serviceaccounts", account, namespace=namespace)
    else:
        yield may("users", name)
    for group in headers.getall(GROUP, []):
        yield may("groups", group)
    if UID in headers:
        yield may("uids", headers[UID], group=_AUTHENTICATION)
    for key, value in _extra(headers):
        yield may("userextras", value, group=_AUTHENTICATION, subresource=key)


def _extra(headers: CIMultiDictProxy[str]) -> Iterator[tuple[str, str]]:
    for key, value in headers.items():
        if key.lower().startswith(EXTRA.lower()):
            yield unquote(key[len(EXTRA) :]).lower(), value
