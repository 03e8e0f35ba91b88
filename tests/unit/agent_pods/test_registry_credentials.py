"""Which credentials of pull secrets are for which image."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from agent.pods.registries import BadSecret, credentials, matching
from agent.runtime.base import RegistryAuth
from shared.api.core import Secret

JSON = "kubernetes.io/dockerconfigjson"


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def secret(auths: Any, type: str = JSON) -> Secret:
    key, tree = (".dockerconfigjson", {"auths": auths}) if type == JSON else (".dockercfg", auths)
    return Secret(type=type, data={key: encoded(json.dumps(tree))})


@pytest.mark.parametrize("type", [JSON, "kubernetes.io/dockercfg"])
def test_both_forms_are_read(type: str) -> None:
    known = credentials(
        secret({
            "https://r.example/v1/": {"auth": encoded("a:b:c")}, "docker.io": {"username": "u", "password": "p"},
            "half.example": {"auth": "%"}, "empty.example": {}, "odd.example": 1,
        }, type)
    )  # fmt: skip
    assert known == [("r.example", RegistryAuth("a", "b:c")), ("index.docker.io", RegistryAuth("u", "p"))]
    assert "b:c" not in repr(known)


@pytest.mark.parametrize(
    ("registry", "image", "fits"),
    [
        ("r.example", "r.example/a:1", True),
        ("r.example", "r.example/a/b@sha256:00", True),
        ("r.example", "other.example/a", False),
        ("r.example:5000", "r.example:5000/a:1", True),
        ("r.example:5000", "r.example/a", False),
        ("r.example", "r.example:5000/a", False),
        ("r.example/team", "r.example/team/a", True),
        ("r.example/team", "r.example/other/a", False),
        ("*.example", "r.example/a", True),
        ("*.example", "a.r.example/a", False),
        ("*.r.example", "eu.r.example/a", True),
        ("https://index.docker.io/v1/", "busybox", True),
        ("https://index.docker.io/v1/", "library/busybox:1", True),
        ("docker.io", "docker.io/team/app", True),
        ("index.docker.io", "team/app", True),
        ("index.docker.io", "localhost/app", False),
        ("r.example:x", "r.example/a", False),
    ],
)
def test_a_registry_fits_an_image(registry: str, image: str, fits: bool) -> None:
    known = credentials(secret({registry: {"username": "u", "password": "p"}}))
    assert bool(matching(image, known)) is fits


def test_the_most_special_come_first_and_each_once() -> None:
    known = credentials(
        secret({
            "r.example": {"username": "all", "password": "1"}, "r.example/team": {"username": "team", "password": "2"},
            "*.example": {"username": "all", "password": "1"},
        })
    )  # fmt: skip
    assert [auth.username for auth in matching("r.example/team/a", known)] == ["team", "all"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Secret(type="Opaque"), "its type is Opaque, not kubernetes.io/dockerconfigjson or"),
        (Secret(type=JSON), "it has no key .dockerconfigjson"),
        (Secret(type=JSON, data={".dockerconfigjson": encoded("s3cret {")}), ".dockerconfigjson holds no JSON"),
        (Secret(type=JSON, data={".dockerconfigjson": encoded('["s3cret"]')}), "holds no registries"),
        (Secret(type=JSON, data={".dockerconfigjson": encoded('{"auths": 1}')}), "holds no registries"),
    ],
    ids=["type", "key", "json", "list", "number"],
)
def test_what_is_wrong_is_told_without_what_is_in_it(found: Secret, words: str) -> None:
    with pytest.raises(BadSecret) as raised:
        credentials(found)
    assert words in str(raised.value)
    assert "s3cret" not in str(raised.value)
