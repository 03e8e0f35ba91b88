"""Which providers the flags and the file mean, and what is refused at the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controlplane.apiserver.oidc.config import ALGORITHMS, Issuer, Mapped, OidcError, issuers, parse
from controlplane.settings import ServerSettings

URL = "https://id.example"


def flags(**values: Any) -> ServerSettings:
    return ServerSettings(**({"oidc_issuer_url": URL, "oidc_client_id": "me"} | values))


def test_without_settings_nobody_vouches() -> None:
    assert issuers(ServerSettings()) == ()


@pytest.mark.parametrize(
    ("values", "username"),
    [
        ({}, Mapped("sub", f"{URL}#")),
        ({"oidc_username_claim": "name"}, Mapped("name", f"{URL}#")),
        ({"oidc_username_claim": "email"}, Mapped("email", "")),
        ({"oidc_username_claim": "email", "oidc_username_prefix": "oidc:"}, Mapped("email", "oidc:")),
        ({"oidc_username_prefix": "-"}, Mapped("sub", "")),
    ],
)
def test_the_prefix_of_names(values: dict[str, Any], username: Mapped) -> None:
    (issuer,) = issuers(flags(**values))
    assert issuer.username == username


def test_all_flags(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"pem")
    found = issuers(
        flags(
            oidc_groups_claim="roles", oidc_groups_prefix="oidc:", oidc_required_claim={"hd": "example.com"},
            oidc_ca_file=tmp_path / "ca.crt", oidc_signing_algs="RS256, ES256",
        )
    )  # fmt: skip
    assert found == (
        Issuer(URL, ("me",), Mapped("sub", f"{URL}#"), Mapped("roles", "oidc:"), required={"hd": "example.com"},
               algorithms=("RS256", "ES256"), ca_pem=b"pem"),
    )  # fmt: skip
    assert found[0].discovery == f"{URL}/.well-known/openid-configuration"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"oidc_client_id": ""}, "--oidc-client-id"),
        ({"oidc_issuer_url": "", "oidc_groups_claim": "g"}, "--oidc-issuer-url"),
        ({"oidc_issuer_url": "http://id.example"}, "--oidc-issuer-url: 'http://id.example' is no https"),
        ({"oidc_issuer_url": "https://a:b@id.example"}, "--oidc-issuer-url"),
        ({"oidc_issuer_url": "https://id.example?x=y"}, "--oidc-issuer-url"),
        ({"oidc_username_prefix": "system:"}, "--oidc-username-prefix: 'system:' begins with system:"),
        ({"oidc_groups_prefix": "system:x"}, "--oidc-groups-prefix"),
        ({"oidc_signing_algs": "HS256"}, "--oidc-signing-algs: 'HS256' is none of RS256"),
        ({"oidc_signing_algs": ""}, "--oidc-signing-algs"),
        ({"oidc_ca_file": Path("/none")}, "--oidc-ca-file: /none cannot be read"),
        ({"authentication_config": Path("/none")}, "--authentication-config: takes the place"),
    ],
)
def test_flags_that_cannot_be(values: dict[str, Any], said: str) -> None:
    with pytest.raises(OidcError, match=said):
        issuers(flags(**values))


def file(**changes: Any) -> dict[str, Any]:
    item = {
        "issuer": {"url": URL, "audiences": ["a", "b"], "audienceMatchPolicy": "MatchAny"},
        "claimMappings": {"username": {"claim": "sub", "prefix": ""}},
    }
    for path, value in changes.items():
        tree: Any = item
        *above, last = path.split("__")
        for name in above:
            tree = tree.setdefault(name, {})
        tree[last] = value
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration", "jwt": [item]}


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_a_file(version: str) -> None:
    tree = file(
        issuer__discoveryURL="https://inside.example/d", issuer__certificateAuthority="pem",
        claimMappings__groups={"claim": "roles", "prefix": "r:"}, claimMappings__uid={"claim": "id"},
        claimValidationRules=[{"claim": "hd", "requiredValue": "example.com"}],
    ) | {"apiVersion": f"apiserver.config.k8s.io/{version}"}  # fmt: skip
    assert parse(tree, "f") == (
        Issuer(URL, ("a", "b"), Mapped("sub"), Mapped("roles", "r:"), "id", {"hd": "example.com"}, ALGORITHMS, b"pem",
               "https://inside.example/d"),
    )  # fmt: skip


def test_a_file_without_authenticators() -> None:
    assert parse({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}, "f") == ()


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ([], "f: Expected `object`"),
        (file() | {"kind": "Pod"}, "not apiserver.config.k8s.io/v1 AuthenticationConfiguration"),
        (file() | {"more": 1}, "unknown field `more`"),
        (file() | {"anonymous": {"enabled": True}}, "anonymous: cannot be set"),
        (file(issuer__url="http://x"), r"jwt\[0\].issuer.url"),
        (file(issuer__discoveryURL=URL), "must be different from url"),
        (file(issuer__audiences=[]), "at least one is needed"),
        (file(issuer__audienceMatchPolicy=""), "must be MatchAny"),
        (file(claimMappings__username={"claim": "sub"}), r"claimMappings.username.prefix: is needed"),
        (file(claimMappings__username={"prefix": ""}), r"claimMappings.username.claim: is needed"),
        (file(claimMappings__username={"claim": "sub", "prefix": "system:"}), "Kubernetes' own"),
        (file(claimMappings__username={"expression": "claims.sub"}), "claimMappings.username.expression: CEL"),
        (file(claimMappings__groups={"expression": "[]"}), "claimMappings.groups.expression: CEL"),
        (file(claimMappings__extra=[{"key": "a"}]), "claimMappings.extra: CEL"),
        (file(claimValidationRules=[{"expression": "true"}]), r"claimValidationRules\[0\].expression: CEL"),
        (file(claimValidationRules=[{"requiredValue": "x"}]), r"claimValidationRules\[0\].claim: is needed"),
        (file(userValidationRules=[{"expression": "true"}]), "userValidationRules: CEL"),
        (file() | {"jwt": file()["jwt"] * 2}, "two authenticators have the same issuer.url"),
        (file() | {"jwt": file()["jwt"] * 65}, "65 authenticators; there may be 64"),
    ],
)
def test_files_that_cannot_be(tree: Any, said: str) -> None:
    with pytest.raises(OidcError, match=said):
        parse(tree, "f")


def test_a_file_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OidcError, match="cannot be read"):
        issuers(ServerSettings(authentication_config=tmp_path / "none"))
    (tmp_path / "bad").write_text("{")
    with pytest.raises(OidcError, match="is not YAML"):
        issuers(ServerSettings(authentication_config=tmp_path / "bad"))
