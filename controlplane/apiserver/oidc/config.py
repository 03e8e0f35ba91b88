"""Who vouches for users, and how their claims become a user: the ``--oidc-*`` flags, or Kubernetes' structured file.

Pure but for reading the files. The file is AuthenticationConfiguration (apiserver.config.k8s.io/v1 and its betas, after
k8s.io/apiserver/pkg/apis/apiserver/validation/validation.go); what is CEL in it is refused, by name, at the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
import yaml

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
"""What a token may be signed with (--oidc-signing-algs). Nothing symmetric."""

SYSTEM = "system:"
"""What names begin with that are Kubernetes' own: no provider gives them away."""

_GROUP, _VERSIONS, _KIND = "apiserver.config.k8s.io", ("v1", "v1beta1", "v1alpha1"), "AuthenticationConfiguration"
_MOST = 64
"""Authenticators in a file, as in Kubernetes."""


class OidcError(Exception):
    """The configuration cannot be used; the message names the flag or the field, and what would be right."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """A claim, and what is put before its value."""

    claim: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """A provider. ``audiences``: a token must be for one of them. ``ca_pem`` None: the system's CAs."""

    url: str
    audiences: tuple[str, ...]
    username: Mapped
    groups: Mapped | None = None
    uid: str = ""
    required: Mapping[str, str] = field(default_factory=dict)
    algorithms: tuple[str, ...] = ALGORITHMS
    ca_pem: bytes | None = None
    discovery_url: str = ""

    @property
    def discovery(self) -> str:
        return self.discovery_url or f"{self.url.rstrip('/')}/.well-known/openid-configuration"


class Flags(Protocol):
    """See ``settings.ServerSettings``."""

    @property
    def authentication_config(self) -> Path | None: ...
    @property
    def oidc_issuer_url(self) -> str: ...
    @property
    def oidc_client_id(self) -> str: ...
    @property
    def oidc_username_claim(self) -> str: ...
    @property
    def oidc_username_prefix(self) -> str: ...
    @property
    def oidc_groups_claim(self) -> str: ...
    @property
    def oidc_groups_prefix(self) -> str: ...
    @property
    def oidc_required_claim(self) -> dict[str, str]: ...
    @property
    def oidc_ca_file(self) -> Path | None: ...
    @property
    def oidc_signing_algs(self) -> str: ...


def issuers(flags: Flags) -> tuple[Issuer, ...]:
    """Every provider; none where none is set. Raises OidcError."""
    given = bool(
        flags.oidc_issuer_url or flags.oidc_client_id or flags.oidc_groups_claim or flags.oidc_required_claim
        or flags.oidc_ca_file
    )  # fmt: skip
    if flags.authentication_config is not None:
        if given:
            raise OidcError("--authentication-config: takes the place of the --oidc-* flags; leave them out")
        return load(flags.authentication_config)
    return (from_flags(flags),) if given else ()


def from_flags(flags: Flags) -> Issuer:
    """The one provider of the flags. Raises OidcError."""
    if not flags.oidc_issuer_url or not flags.oidc_client_id:
        raise OidcError("--oidc-issuer-url and --oidc-client-id: must be given together")
    url, claim = flags.oidc_issuer_url, flags.oidc_username_claim
    _check_url(url, "--oidc-issuer-url")
    prefix = flags.oidc_username_prefix
    if prefix == "-":
        prefix = ""
    elif not prefix and claim != "email":
        prefix = f"{url}#"  # "sub" is unique for one provider only
    _check_prefix(prefix, "--oidc-username-prefix")
    _check_prefix(flags.oidc_groups_prefix, "--oidc-groups-prefix")
    algorithms = tuple(name.strip() for name in flags.oidc_signing_algs.split(",") if name.strip())
    if not algorithms or (unknown := [name for name in algorithms if name not in ALGORITHMS]):
        wrong = unknown[0] if algorithms else ""
        raise OidcError(f"--oidc-signing-algs: {wrong!r} is none of {', '.join(ALGORITHMS)}")
    ca_pem = None
    if flags.oidc_ca_file is not None:
        try:
            ca_pem = flags.oidc_ca_file.read_bytes()
        except OSError as error:
            raise OidcError(f"--oidc-ca-file: {flags.oidc_ca_file} cannot be read: {error.strerror}") from error
    return Issuer(
        url=url, audiences=(flags.oidc_client_id,), username=Mapped(claim, prefix),
        groups=Mapped(flags.oidc_groups_claim, flags.oidc_groups_prefix) if flags.oidc_groups_claim else None,
        required=dict(flags.oidc_required_claim), algorithms=algorithms, ca_pem=ca_pem,
    )  # fmt: skip


# --- the file


class _Struct(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class _Issuer(_Struct, frozen=True):
    url: str
    audiences: tuple[str, ...]
    discovery_url: str = msgspec.field(default="", name="discoveryURL")
    certificate_authority: str = ""
    audience_match_policy: str = ""


class _Rule(_Struct, frozen=True):
    claim: str = ""
    required_value: str = ""
    expression: str = ""
    message: str = ""


class _Claim(_Struct, frozen=True):
    claim: str = ""
    prefix: str | None = None
    expression: str = ""


class _Mappings(_Struct, frozen=True):
    username: _Claim
    groups: _Claim = _Claim()
    uid: _Claim = _Claim()
    extra: tuple[Any, ...] = ()


class _Jwt(_Struct, frozen=True):
    issuer: _Issuer
    claim_mappings: _Mappings
    claim_validation_rules: tuple[_Rule, ...] = ()
    user_validation_rules: tuple[Any, ...] = ()


class _File(_Struct, frozen=True):
    api_version: str
    kind: str
    jwt: tuple[_Jwt, ...] = ()
    anonymous: Any = None


def load(path: Path) -> tuple[Issuer, ...]:
    """The providers of a file. Raises OidcError."""
    try:
        tree = yaml.safe_load(path.read_text())
    except OSError as error:
        raise OidcError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OidcError(f"{path} is not YAML: {error}") from error
    return parse(tree, str(path))


def parse(tree: Any, where: str) -> tuple[Issuer, ...]:
    """The providers of a decoded file; ``where`` names it in messages. Raises OidcError."""
    try:
        file = msgspec.convert(tree, _File)
    except msgspec.ValidationError as error:
        raise OidcError(f"{where}: {error}") from error
    group, _, version = file.api_version.partition("/")
    if group != _GROUP or version not in _VERSIONS or file.kind != _KIND:
        raise OidcError(f"{where}: is {file.api_version} {file.kind}, not {_GROUP}/v1 {_KIND}")
    if file.anonymous is not None:
        raise OidcError(f"{where}: anonymous: cannot be set; nobody is anonymous but at /healthz, /livez, /readyz and"
                        " /version")  # fmt: skip
    if len(file.jwt) > _MOST:
        raise OidcError(f"{where}: jwt: {len(file.jwt)} authenticators; there may be {_MOST}")
    found = tuple(_issuer(item, f"{where}: jwt[{index}]") for index, item in enumerate(file.jwt))
    for field_, values in (("url", [i.url for i in found]), ("discoveryURL", [i.discovery for i in found])):
        if len(set(values)) != len(values):
            raise OidcError(f"{where}: jwt: two authenticators have the same issuer.{field_}")
    return found


def _issuer(item: _Jwt, at: str) -> Issuer:
    issuer, mappings = item.issuer, item.claim_mappings
    _check_url(issuer.url, f"{at}.issuer.url")
    if issuer.discovery_url:
        _check_url(issuer.discovery_url, f"{at}.issuer.discoveryURL")
        if issuer.discovery_url == issuer.url:
            raise OidcError(f"{at}.issuer.discoveryURL: must be different from url")
    audiences = issuer.audiences
    if not audiences or not all(audiences) or len(set(audiences)) != len(audiences):
        raise OidcError(f"{at}.issuer.audiences: at least one is needed, each once")
    policy = issuer.audience_match_policy
    if policy not in ("", "MatchAny") or (len(audiences) > 1 and not policy):
        raise OidcError(f"{at}.issuer.audienceMatchPolicy: must be MatchAny where there are several audiences")
    _no_cel(item, at)
    required: dict[str, str] = {}
    for index, rule in enumerate(item.claim_validation_rules):
        if not rule.claim or rule.claim in required:
            raise OidcError(f"{at}.claimValidationRules[{index}].claim: is needed, each claim once")
        required[rule.claim] = rule.required_value
    username = mappings.username
    if not username.claim:
        raise OidcError(f"{at}.claimMappings.username.claim: is needed")
    return Issuer(
        url=issuer.url, audiences=audiences, username=_mapped(username, f"{at}.claimMappings.username"),
        groups=_mapped(mappings.groups, f"{at}.claimMappings.groups") if mappings.groups.claim else None,
        uid=mappings.uid.claim, required=required, discovery_url=issuer.discovery_url,
        ca_pem=issuer.certificate_authority.encode() or None,
    )  # fmt: skip


def _mapped(claim: _Claim, at: str) -> Mapped:
    if claim.prefix is None:
        raise OidcError(f'{at}.prefix: is needed with a claim; "" is none')
    _check_prefix(claim.prefix, f"{at}.prefix")
    return Mapped(claim.claim, claim.prefix)


def _no_cel(item: _Jwt, at: str) -> None:
    """Raises OidcError for what only an expression can say."""
    mappings = item.claim_mappings
    said: list[tuple[Any, str]] = [
        (getattr(mappings, name).expression, f"claimMappings.{name}.expression") for name in ("username", "groups",
                                                                                              "uid")
    ]  # fmt: skip
    said += [(mappings.extra, "claimMappings.extra"), (item.user_validation_rules, "userValidationRules")]
    for index, rule in enumerate(item.claim_validation_rules):
        said.append((rule.expression or rule.message, f"claimValidationRules[{index}].expression"))
    for value, name in said:
        if value:
            raise OidcError(f"{at}.{name}: CEL is not supported here; map claims by claim and prefix, and require"
                            " values by requiredValue")  # fmt: skip


def _check_url(url: str, where: str) -> None:
    try:
        parts = urlsplit(url)
        wrong = parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment
    except ValueError:
        wrong = True
    if wrong:
        raise OidcError(f"{where}: {url!r} is no https:// URL without user, query and fragment")


def _check_prefix(prefix: str, where: str) -> None:
    if prefix.startswith(SYSTEM):
        raise OidcError(f"{where}: {prefix!r} begins with {SYSTEM}, which is for Kubernetes' own users and groups")
