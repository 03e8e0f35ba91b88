"""Acting as somebody else: whom the headers name, and what that takes."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from controlplane.apiserver import impersonation
from controlplane.apiserver.identity import User
from shared.api.errors import BadRequest


def _headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        pytest.param([("Impersonate-User", "bob")], User("bob", ("system:authenticated",)), id="a user"),
        pytest.param(
            [("impersonate-user", "bob"), ("Impersonate-Group", "dev"), ("Impersonate-Group", "ops")],
            User("bob", ("dev", "ops", "system:authenticated")),
            id="with groups",
        ),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-Uid", "7")], User("bob", ("system:authenticated",), "7"),
            id="with a uid",
        ),
        pytest.param(
            [("Impersonate-User", "bob"), ("Impersonate-Extra-Acme.com%2fA", "1"),
             ("impersonate-extra-acme.com%2Fa", "2"), ("Impersonate-Extra-b", "3")],
            User("bob", ("system:authenticated",), extra=(("acme.com/a", ("1", "2")), ("b", ("3",)))),
            id="with extra",
        ),
        pytest.param(
            [("Impersonate-User", "system:serviceaccount:ns:builder")],
            User(
                "system:serviceaccount:ns:builder",
                ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
            ),
            id="a service account is in its groups",
        ),
        pytest.param(
            [("Impersonate-User", "system:anonymous")], User("system:anonymous", ("system:unauthenticated",)),
            id="nobody",
        ),
    ],
)  # fmt: skip
def test_who_is_wanted(headers: list[tuple[str, str]], user: User) -> None:
    assert impersonation.is_asked(_headers(*headers))
    assert impersonation.wanted(_headers(*headers)) == user


def test_an_ordinary_request_asks_for_nothing() -> None:
    assert not impersonation.is_asked(_headers(("Accept", "*/*")))


@pytest.mark.parametrize("header", ["Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-x"])
def test_groups_without_a_user_are_refused(header: str) -> None:
    assert impersonation.is_asked(_headers((header, "x")))
    with pytest.raises(BadRequest, match="without impersonating a user"):
        impersonation.wanted(_headers((header, "x")))


def test_everything_named_must_be_allowed() -> None:
    headers = _headers(
        ("Impersonate-User", "bob"), ("Impersonate-Group", "dev"), ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Acme.com%2Fproject", "some"),
    )  # fmt: skip
    asked = [
        (each.verb, each.group, each.resource, each.subresource, each.name)
        for each in impersonation.permissions(headers, "/api")
    ]
    assert asked == [
        ("impersonate", "", "users", "", "bob"),
        ("impersonate", "", "groups", "", "dev"),
        ("impersonate", "authentication.k8s.io", "uids", "", "7"),
        ("impersonate", "authentication.k8s.io", "userextras", "acme.com/project", "some"),
    ]


def test_a_service_account_is_allowed_by_its_namespace() -> None:
    (asked,) = impersonation.permissions(_headers(("Impersonate-User", "system:serviceaccount:ns:builder")), "/api")
    assert (asked.resource, asked.namespace, asked.name) == ("serviceaccounts", "ns", "builder")
