"""The file of ``--admission-control-config-file``: a Kubernetes AdmissionConfiguration, and the kubeconfigs it names.

Pure but for reading files, once, at the start. Whatever cannot be used is refused with its file and field; nothing is
ignored. Sources: k8s.io/apiserver/pkg/admission/config.go, pkg/admission/plugin/webhook/config/kubeconfig.go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from controlplane.apiserver.webhooks.proofs import ProofError, Proofs, read_token
from shared import codec
from shared.client import kubeconfig
from shared.client.kubeconfig import Credentials, KubeconfigError
from shared.pki import PkiError
from shared.tls import client_context
from shared.work.clock import Clock

MUTATING, VALIDATING = "MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"
_PLUGINS = (MUTATING, VALIDATING)
_CONFIGURATION = {
    ("apiserver.config.k8s.io/v1", "AdmissionConfiguration"),
    ("apiserver.k8s.io/v1alpha1", "AdmissionConfiguration"),
}
_OF_WEBHOOKS = {
    ("apiserver.config.k8s.io/v1", "WebhookAdmissionConfiguration"),
    ("apiserver.config.k8s.io/v1alpha1", "WebhookAdmission"),
}
_T = TypeVar("_T")


class ConfigurationError(Exception):
    """The file cannot be used; the message names the file, the field, and what would be right."""


class _Struct(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class _Plugin(_Struct, frozen=True):
    name: str
    path: str = ""
    configuration: dict[str, Any] | None = None


class _Admission(_Struct, frozen=True):
    api_version: str
    kind: str
    plugins: tuple[_Plugin, ...] = ()


class _Webhooks(_Struct, frozen=True):
    api_version: str
    kind: str
    kube_config_file: str


def load(path: Path, clock: Clock) -> dict[str, Proofs]:
    """What webhooks are shown, by admission plugin. Raises ConfigurationError."""
    file = _convert(_tree(path), _Admission, str(path), _CONFIGURATION)
    found: dict[str, Proofs] = {}
    for index, plugin in enumerate(file.plugins):
        where = f"{path}: plugins[{index}]"
        if plugin.name not in _PLUGINS:
            raise ConfigurationError(
                f"{where}.name: {plugin.name!r} takes no configuration; {' and '.join(_PLUGINS)} do"
            )
        if plugin.name in found:
            raise ConfigurationError(f"{where}.name: {plugin.name} is configured twice")
        if plugin.configuration is not None:
            found[plugin.name] = _proofs(plugin.configuration, f"{where}.configuration", clock)
        elif plugin.path:
            named = path.absolute().parent / plugin.path
            found[plugin.name] = _proofs(_tree(named, f"{where}.path: "), f"{where}.path: {named}", clock)
    return found


def _proofs(tree: Any, where: str, clock: Clock) -> Proofs:
    named = Path(_convert(tree, _Webhooks, where, _OF_WEBHOOKS).kube_config_file)
    at = f"{where}: kubeConfigFile"
    if not named.is_absolute():
        raise ConfigurationError(f"{at}: {str(named)!r} must be an absolute file path")
    try:
        users, current = kubeconfig.load_users(named)
    except KubeconfigError as error:
        raise ConfigurationError(f"{at}: {error}") from error
    for name, credentials in users.items():
        _check(credentials, f"{at}: {named}: user {name!r}")
    return Proofs(users, current, clock)


def _check(credentials: Credentials, where: str) -> None:
    """Raises ConfigurationError for what no webhook could be shown."""
    if (credentials.username or credentials.password) and (credentials.token or credentials.token_file):
        raise ConfigurationError(f"{where}: username/password or token may be set, but not both")
    try:
        if credentials.client is not None:
            client_context(None, credentials.client)
        if credentials.token_file is not None:
            read_token(credentials.token_file)
    except PkiError as error:
        raise ConfigurationError(f"{where}: client-certificate and client-key: {error}") from error
    except ProofError as error:
        raise ConfigurationError(f"{where}: {error}") from error


def _tree(path: Path, where: str = "") -> Any:
    try:
        return codec.decode_yaml(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{where}{path} cannot be read: {error.strerror}") from error
    except codec.CodecError as error:
        raise ConfigurationError(f"{where}{path}: {error}") from error


def _convert(tree: Any, type_: type[_T], where: str, kinds: set[tuple[str, str]]) -> _T:
    if isinstance(tree, dict) and (said := (tree.get("apiVersion"), tree.get("kind"))) not in kinds:
        version, kind = sorted(kinds)[0]
        raise ConfigurationError(f"{where}: must be apiVersion: {version}, kind: {kind}; not {said[0]}, {said[1]}")
    try:
        return msgspec.convert(tree, type_)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
