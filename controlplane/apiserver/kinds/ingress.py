"""Ingress and IngressClass: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/networking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import (
    all_invalid,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
    too_long,
)
from controlplane.apiserver.kinds.cells import NONE, age_column, at, field_column, name_column
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_IN_PATH, _AT_END = ("//", "/./", "/../", "%2f", "%2F"), ("/..", "/.")
_MAX_CONTROLLER = 250
_ADDRESS_WIDTH = 16
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = rf"\*\.{_LABEL}(\.{_LABEL})*"
_CONTROLLER_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"


# --- Ingress


def default(obj: JSON) -> None:
    status = obj["status"] = obj.get("status") or {}
    if status.get("loadBalancer") is None:
        status["loadBalancer"] = {}


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    rules, backend = spec.get("rules") or (), spec.get("defaultBackend")
    if not rules and backend is None:
        yield invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if backend is not None:
        yield from _backend(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        yield from _rule(rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        for position, host in enumerate(tls.get("hosts") or ()):
            yield from all_invalid(f"spec.tls[{index}].hosts[{position}]", host, _host(host))
        if secret := tls.get("secretName"):
            yield from all_invalid(f"spec.tls[{index}].secretName", secret, names.dns_subdomain(secret))
    name = spec.get("ingressClassName")
    if name is not None:
        yield from all_invalid("spec.ingressClassName", name, names.dns_subdomain(name))
    annotated = at(obj, "metadata", "annotations", default={}).get(CLASS_ANNOTATION)
    if old is None and name is not None and annotated not in (None, name):
        detail = "must match `ingressClassName` when both are specified"
        yield invalid(f"annotations.{CLASS_ANNOTATION}", annotated, detail)


def _host(host: str) -> tuple[str, ...]:
    if "*" not in host:
        return names.dns_subdomain(host)
    if re.fullmatch(_WILDCARD, host) and len(host) <= 253:
        return ()
    return (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
        "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', "
        f"regex used for validation is '{_WILDCARD}')",
    )


def _is_ip(text: str) -> bool:
    return not names.ip(text)


def _rule(rule: JSON, path: str) -> Iterator[Cause]:
    if host := rule.get("host"):
        if _is_ip(host):
            yield invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
        yield from all_invalid(f"{path}.host", host, _host(host))
    if (http := rule.get("http")) is not None:
        paths = http.get("paths") or ()
        if not paths:
            yield required(f"{path}.http.paths")
        for index, one in enumerate(paths):
            yield from _path(one, f"{path}.http.paths[{index}]")


def _path(one: JSON, at_: str) -> Iterator[Cause]:
    kind, path = one.get("pathType"), one.get("path") or ""
    if kind is None:
        yield required(f"{at_}.pathType", "pathType must be specified")
        return
    if kind in ("Exact", "Prefix"):
        if not path.startswith("/"):
            yield invalid(f"{at_}.path", path, "must be an absolute path")
        for bad in _IN_PATH:
            if bad in path:
                yield invalid(f"{at_}.path", path, f"must not contain '{bad}'")
        for bad in _AT_END:
            if path.endswith(bad):
                yield invalid(f"{at_}.path", path, f"cannot end with '{bad}'")
    elif kind == "ImplementationSpecific":
        if path and not path.startswith("/"):
            yield invalid(f"{at_}.path", path, "must be an absolute path")
    else:
        yield not_supported(f"{at_}.pathType", kind, _PATH_TYPES)
    yield from _backend(one.get("backend") or {}, f"{at_}.backend")


def _backend(backend: JSON, path: str) -> Iterator[Cause]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _reference(resource, f"{path}.resource")
    elif service is not None:
        yield from _service(service, path)
    else:
        yield invalid(path, "", "resource or service backend is required")


def _service(service: JSON, path: str) -> Iterator[Cause]:
    if not (name := service.get("name") or ""):
        yield required(f"{path}.service.name")
    else:
        yield from all_invalid(f"{path}.service.name", name, names.dns_label(name))
    port: JSON = service.get("port") or {}
    number, port_name = port.get("number") or 0, port.get("name") or ""
    if number and port_name:
        yield invalid(path, "", "cannot set both port name & port number")
    elif port_name:
        yield from all_invalid(f"{path}.service.port.name", port_name, names.port_name(port_name))
    elif number:
        yield from all_invalid(f"{path}.service.port.number", number, names.port_number(number))
    else:
        yield required(path, "port name or number is required")


def _reference(ref: JSON, path: str) -> Iterator[Cause]:
    if (group := ref.get("apiGroup")) is not None:
        yield from all_invalid(f"{path}.apiGroup", group, names.dns_subdomain(group))
    for field in ("kind", "name"):
        if not (value := ref.get(field) or ""):
            yield required(f"{path}.{field}")
        else:
            yield from all_invalid(f"{path}.{field}", value, names.path_segment(value))


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    for index, entry in enumerate(at(obj, "status", "loadBalancer", "ingress", default=())):
        path = f"status.loadBalancer.ingress[{index}]"
        if address := entry.get("ip"):
            yield from all_invalid(f"{path}.ip", address, names.ip(address))
        if host := entry.get("hostname"):
            yield from all_invalid(f"{path}.hostname", host, names.dns_subdomain(host))
            if _is_ip(host):
                yield invalid(f"{path}.hostname", host, "must be a DNS name, not an IP address")


def _hosts(obj: JSON) -> str:
    rules = at(obj, "spec", "rules", default=())
    found: list[str] = []
    for rule in rules:
        if len(found) == 3:
            return f"{','.join(found)} + {len(rules) - 3} more..."
        if rule.get("host"):
            found.append(rule["host"])
    return ",".join(found) or "*"


def _address(obj: JSON) -> str:
    entries = at(obj, "status", "loadBalancer", "ingress", default=())
    text = ",".join(str(entry.get("ip") or entry.get("hostname") or "") for entry in entries).strip(",")
    return f"{text[: _ADDRESS_WIDTH - 3]}..." if len(text) > _ADDRESS_WIDTH else text


# --- IngressClass


def default_class(obj: JSON) -> None:
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def validate_class(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    controller = spec.get("controller") or ""
    if old is not None:
        yield from immutable("spec.controller", controller, at(old, "spec", "controller", default=""))
    if not controller:
        yield required("spec.controller")
    else:
        if len(controller) > _MAX_CONTROLLER:
            yield too_long("spec.controller", _MAX_CONTROLLER)
        yield from _domain_path(controller, "spec.controller")
    if (parameters := spec.get("parameters")) is not None:
        yield from _reference(parameters, "spec.parameters")
        yield from _scope(parameters, "spec.parameters")


def _domain_path(value: str, path: str) -> Iterator[Cause]:
    host, slash, rest = value.partition("/")
    if not slash or not host or not rest:
        yield invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    yield from all_invalid(path, host, names.dns_subdomain(host))
    if not re.fullmatch(_CONTROLLER_PATH, rest):
        yield invalid(path, rest, f"Invalid path (regex used for validation is '{_CONTROLLER_PATH}')")


def _scope(parameters: JSON, path: str) -> Iterator[Cause]:
    scope: str | None = parameters.get("scope")
    namespace: str | None = parameters.get("namespace")
    if scope not in ("Cluster", "Namespace"):
        yield not_supported(f"{path}.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Cluster" and namespace is not None:
        yield forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    elif scope == "Namespace" and namespace is None:
        yield required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif namespace is not None:
        yield from all_invalid(f"{path}.namespace", namespace, names.dns_label(namespace))


def _parameters(obj: JSON) -> str:
    ref = at(obj, "spec", "parameters")
    if ref is None:
        return NONE
    group = f".{ref['apiGroup']}" if ref.get("apiGroup") else ""
    return f"{ref.get('kind') or ''}{group}/{ref.get('name') or ''}"


INGRESS = Kind(
    resource=kinds.INGRESSES,
    singular="ingress",
    short_names=("ing",),
    columns=(
        name_column(),
        field_column("Class", "string", "Who serves it.", "spec", "ingressClassName", default=NONE),
        Column("Hosts", "string", "Host names that it serves.", _hosts),
        Column("Address", "string", "Where it is served.", _address),
        Column("Ports", "string", "Ports that it is served at.",
               lambda obj: "80, 443" if at(obj, "spec", "tls") else "80"),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    has_generation=True,
    inert=True,
)  # fmt: skip
INGRESS_CLASS = Kind(
    resource=kinds.INGRESS_CLASSES,
    singular="ingressclass",
    columns=(
        name_column(),
        field_column("Controller", "string", "Who serves ingresses of this class.", "spec", "controller", default=""),
        Column("Parameters", "string", "What more the controller is told.", _parameters),
        age_column(),
    ),
    default=default_class,
    validate=validate_class,
    has_generation=True,
    inert=True,
)
