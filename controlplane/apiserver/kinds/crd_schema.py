"""What is wrong with a schema in a CustomResourceDefinition: what is not supported, what is not structural, lists and
maps that cannot be told apart, defaults that do not fit, rules that do not compile.

Pure. Rules and texts are those of k8s.io/apiextensions-apiserver: pkg/apis/apiextensions/validation (validation.go),
pkg/apiserver/schema (validation.go), pkg/apiserver/schema/defaulting (validation.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from controlplane.apiserver.cel import fields
from controlplane.apiserver.cel.engine import CelError
from controlplane.apiserver.cel.regex import matcher
from controlplane.apiserver.custom import pruning, rules, validation
from controlplane.apiserver.custom.schema import META_FIELDS, Node, Rule, compiled
from controlplane.apiserver.kinds.causes import forbidden, invalid, not_supported, required
from shared import codec
from shared.api.errors import Cause
from shared.api.meta import JSON

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_AT_ROOT = frozenset(
    (
        "description", "type", "format", "title", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
        "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "required", "items",
        "properties", "externalDocs", "example", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
    )
)  # fmt: skip
_ROOT_TEXT = (
    "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength Pattern "
    "MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example XPreserveUnknownFields "
    "XValidations] fields are allowed at the root of the schema if the status subresource is enabled"
)
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_BREAKS = re.compile(r"[\n\r]")


def validate_schema(schema: JSON, path: str, has_status: bool) -> list[Cause]:
    """The causes, sorted by path as upstream's. Defaults and rules are looked at only in a schema that is otherwise
    right, since they are meaningless in another."""
    found = list(_root(schema, path, has_status))
    found += sorted(_structural(schema, path, "root"), key=lambda cause: (cause.field, cause.message))
    found += _openapi(schema, path, _Place(root=True))
    if not found:
        found += _defaults(schema, path, root=True)
    if not found:
        found += _rules(schema, path, "", root=True)
    return found


def _root(schema: JSON, path: str, has_status: bool) -> Iterator[Cause]:
    if has_status:
        if schema.get("type") not in (None, "", "object"):
            detail = (
                'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            )
            yield invalid(f"{path}.type", schema["type"], detail)
        elif any(value and key not in _AT_ROOT for key, value in schema.items()):
            yield invalid(path, schema, _ROOT_TEXT)
    if schema.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")


# --- structural


def _structural(schema: JSON, path: str, level: str) -> Iterator[Cause]:
    kind = schema.get("type") or ""
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
    properties: JSON = schema.get("properties") or {}
    if kind == "array" and schema.get("items") is None:
        yield required(f"{path}.items", "must be specified")
    if isinstance(items := schema.get("items"), dict):
        yield from _structural(items, f"{path}.items", "item")
    for name, inner in properties.items():
        yield from _structural(inner, f"{path}.properties[{name}]", "field")
    additional = schema.get("additionalProperties")
    if additional is not None and level == "root":
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(additional, dict):
        yield from _structural(additional, f"{path}.additionalProperties", "field")
    exclusive: list[tuple[str, bool]] = [("preserve-unknown-fields", preserve), ("embedded-resource", embedded)]
    for field, on in exclusive:
        if int_or_string and on:
            yield invalid(f"{path}.x-kubernetes-{field}", True, "must be false if x-kubernetes-int-or-string is true")
    yield from _value(schema, path, skip=schema.get("anyOf") == _INT_OR_STRING, first=_first_is_int_or_string(schema))
    if embedded and kind != "object":
        detail = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(f"{path}.type", kind, detail) if kind else required(f"{path}.type", detail)
    elif not kind and not int_or_string and not preserve:
        what = {"root": "at the root", "item": "for specified array items", "field": "for specified object fields"}
        yield required(f"{path}.type", f"must not be empty {what[level]}")
    if embedded and additional is not None:
        yield forbidden(f"{path}.additionalProperties", "must not be used if x-kubernetes-embedded-resource is set")
    if level == "root" and kind and kind != "object":
        yield invalid(f"{path}.type", kind, "must be object at the root")
    if level == "root" or embedded:
        yield from _metadata(properties, path, level)
    if embedded and not preserve and not properties:
        yield required(
            f"{path}.properties", "must not be empty if x-kubernetes-embedded-resource is true without "
            "x-kubernetes-preserve-unknown-fields",
        )  # fmt: skip


def _first_is_int_or_string(schema: JSON) -> bool:
    parts: list[JSON] = schema.get("allOf") or []
    return bool(parts) and parts[0].get("anyOf") == _INT_OR_STRING


def _metadata(properties: JSON, path: str, level: str) -> Iterator[Cause]:
    for name in ("kind", "apiVersion"):
        if name in properties and properties[name].get("type") != "string":
            yield invalid(f"{path}.properties[{name}].type", properties[name].get("type") or "", "must be string")
    meta = properties.get("metadata")
    if meta is None:
        return
    at = f"{path}.properties[metadata]"
    if meta.get("type") != "object":
        yield invalid(f"{at}.type", meta.get("type") or "", "must be object")
    said = {key for key, value in meta.items() if value and key not in ("type", "default", "description")}
    if level == "root" and (said - {"properties"} or set(meta.get("properties") or ()) - {"name", "generateName"}):
        yield forbidden(at, "must not specify anything other than name and generateName, but metadata is implicitly "
                        "specified")  # fmt: skip


def _value(schema: JSON, path: str, *, skip: bool = False, first: bool = False) -> Iterator[Cause]:
    """The parts of a schema that only restrict values: nested schemas have nothing else."""
    for key in ("anyOf", "allOf", "oneOf"):
        if key == "anyOf" and skip:
            continue
        for index, inner in enumerate(schema.get(key) or ()):
            yield from _nested(inner, f"{path}.{key}[{index}]", skip=key == "allOf" and first and index == 0)
    if isinstance(schema.get("not"), dict):
        yield from _nested(schema["not"], f"{path}.not")
    if pattern := schema.get("pattern"):
        try:
            matcher(pattern)
        except ValueError as error:
            detail = f"must be a valid regular expression, but isn't: {error}"
            yield invalid(f"{path}.pattern", pattern, detail)


_NESTED: Mapping[str, str] = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "externalDocs": "must be undefined to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}


def _nested(schema: JSON, path: str, *, skip: bool = False) -> Iterator[Cause]:
    yield from _value(schema, path, skip=skip)
    if isinstance(schema.get("items"), dict):
        yield from _nested(schema["items"], f"{path}.items")
    for name, inner in (schema.get("properties") or {}).items():
        yield from _nested(inner, f"{path}.properties[{name}]")
    for field, detail in _NESTED.items():
        value = schema.get(field)
        if value or (field in ("additionalProperties", "default") and value is not None):
            yield forbidden(f"{path}.{field}", detail)
    if "metadata" in (schema.get("properties") or {}):
        yield forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


# --- OpenAPI v3


class _Place:
    """Where in a schema a walk is."""

    __slots__ = ("defaults", "in_meta", "root")

    def __init__(self, root: bool = False, in_meta: bool = False, defaults: str = "") -> None:
        self.root, self.in_meta = root, in_meta
        self.defaults = defaults
        """Why there may be none here, if so."""


def _openapi(schema: JSON, path: str, place: _Place) -> Iterator[Cause]:
    yield from _supported(schema, path, place)
    inside = _Place(in_meta=place.in_meta, defaults=place.defaults)
    additional = schema.get("additionalProperties")
    properties: JSON = schema.get("properties") or {}
    if additional is not None and additional is not True and properties:
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if isinstance(additional, dict):
        reason = "inside additionalProperties applying to object metadata" if place.in_meta else place.defaults
        yield from _openapi(additional, f"{path}.additionalProperties", _Place(in_meta=place.in_meta, defaults=reason))
    for name, inner in properties.items():
        below = inside
        if name in META_FIELDS and (place.root or schema.get("x-kubernetes-embedded-resource")):
            below = _Place(in_meta=True, defaults=f"in top-level {name}" if place.root else place.defaults)
        yield from _openapi(inner, f"{path}.properties[{name}]", below)
    if isinstance(schema.get("not"), dict):
        yield from _openapi(schema["not"], f"{path}.not", inside)
    for key in ("allOf", "oneOf", "anyOf"):
        for index, inner in enumerate(schema.get(key) or ()):
            yield from _openapi(inner, f"{path}.{key}[{index}]", inside)
    if isinstance(schema.get("items"), dict):
        yield from _openapi(schema["items"], f"{path}.items", inside)
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    yield from _map_type(schema, path)
    yield from _list_type(schema, path)
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        yield from _rule_text(rule, f"{path}.x-kubernetes-validations[{index}]")


def _supported(schema: JSON, path: str, place: _Place) -> Iterator[Cause]:
    kind = schema.get("type") or ""
    if kind and kind not in TYPES:
        yield not_supported(f"{path}.type", kind, TYPES)
    if schema.get("default") is not None and place.defaults:
        yield forbidden(f"{path}.default", f"must not be set {place.defaults}")
    for field in _UNSUPPORTED:
        if schema.get(field):
            yield forbidden(f"{path}.{field}", f"{field} is not supported")
    if kind == "null":
        yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(schema.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.in_meta and schema.get("x-kubernetes-embedded-resource"):
        yield forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden(f"{path}.uniqueItems", detail)


def _map_type(schema: JSON, path: str) -> Iterator[Cause]:
    how, kind = schema.get("x-kubernetes-map-type"), schema.get("type") or ""
    if how is None:
        return
    if kind != "object":
        detail = "must be object if x-kubernetes-map-type is specified"
        yield invalid(f"{path}.type", kind, detail) if kind else required(f"{path}.type", detail)
    if how not in ("atomic", "granular"):
        yield not_supported(f"{path}.x-kubernetes-map-type", how, ("atomic", "granular"))


def _list_type(schema: JSON, path: str) -> Iterator[Cause]:
    how, kind = schema.get("x-kubernetes-list-type"), schema.get("type") or ""
    given = schema.get("items")
    items: JSON = given if isinstance(given, dict) else {}
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if how is not None and kind != "array":
        detail = "must be array if x-kubernetes-list-type is specified"
        yield invalid(f"{path}.type", kind, detail) if kind else required(f"{path}.type", detail)
    elif how == "set":
        detail = "must be atomic as item of a list with x-kubernetes-list-type=set"
        if items.get("type") == "array" and items.get("x-kubernetes-list-type") not in (None, "atomic"):
            yield invalid(f"{path}.items.x-kubernetes-list-type", items["x-kubernetes-list-type"], detail)
        if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
            yield invalid(f"{path}.items.x-kubernetes-map-type", items.get("x-kubernetes-list-type"), detail)
    if how is not None and how not in ("atomic", "set", "map"):
        yield not_supported(f"{path}.x-kubernetes-list-type", how, ("atomic", "set", "map"))
    if keys and how != "map":
        at, detail = f"{path}.x-kubernetes-list-type", "must be map if x-kubernetes-list-map-keys is non-empty"
        yield required(at, detail) if how is None else invalid(at, how, detail)
    if how == "map":
        yield from _keyed(schema, items, keys, path)
    if how in ("map", "set") and items.get("nullable"):
        yield forbidden(f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {how}")


def _keyed(schema: JSON, items: JSON, keys: list[str], path: str) -> Iterator[Cause]:
    if not keys:
        yield required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    if not items:
        yield required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if items.get("type") != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        yield invalid(f"{path}.items.type", items.get("type") or "", detail)
        return
    properties: JSON = items.get("properties") or {}
    for index, key in enumerate(keys):
        at = f"{path}.items.properties[{key}]"
        if key not in properties:
            yield invalid(f"{path}.x-kubernetes-list-map-keys", keys, "entries must all be names of item properties")
            continue
        if key in keys[:index]:
            yield invalid(f"{path}.x-kubernetes-list-map-keys", keys, "must not contain duplicate entries")
        if properties[key].get("type") in ("array", "object"):
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield invalid(f"{at}.type", items["type"], detail)
        if key not in (items.get("required") or ()) and properties[key].get("default") is None:
            detail = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            )
            yield required(f"{at}.default", detail)
        if properties[key].get("nullable"):
            detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            yield forbidden(f"{at}.nullable", detail)


def _rule_text(rule: JSON, path: str) -> Iterator[Cause]:
    text, message = rule.get("rule") or "", rule.get("message") or ""
    if not text.strip():
        yield required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif _BREAKS.search(message.strip()):
        yield invalid(f"{path}.message", message, "message must not contain line breaks")
    elif _BREAKS.search(text.strip()) and not message.strip():
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression") or ""
    if expression and not expression.strip():
        yield required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if (reason := rule.get("reason")) is not None and reason not in rules.REASONS:
        yield not_supported(f"{path}.reason", reason, sorted(rules.REASONS))
    if where := rule.get("fieldPath") or "":
        if not where.strip():
            yield invalid(f"{path}.fieldPath", where, "fieldPath must be non-empty if specified")
        if _BREAKS.search(where):
            yield invalid(f"{path}.fieldPath", where, "fieldPath must not contain line breaks")
        if not rules.field_path(where):
            yield invalid(f"{path}.fieldPath", where, "fieldPath must be a valid path")


# --- defaults


def _defaults(schema: JSON, path: str, root: bool = False) -> Iterator[Cause]:
    if schema.get("default") is not None:
        node, value = compiled(schema), codec.copy(schema["default"])
        if isinstance(value, dict | list) and pruning.prune_value(node, value):
            yield invalid(f"{path}.default", schema["default"], "must not have unknown fields")
        for cause in validation.validate_value(node, schema["default"], f"{path}.default"):
            yield cause
        for cause in rules.Rules(node).validate_value(schema["default"], f"{path}.default"):
            yield cause
    if isinstance(schema.get("items"), dict):
        yield from _defaults(schema["items"], f"{path}.items")
    for name, inner in (schema.get("properties") or {}).items():
        if not (root and name in META_FIELDS):
            yield from _defaults(inner, f"{path}.properties[{name}]")


# --- rules


def _rules(schema: JSON, path: str, uncorrelated: str, root: bool = False) -> Iterator[Cause]:
    """Rules that do not compile, and rules on changes where nobody can tell what was there before."""
    given = schema.get("x-kubernetes-validations") or ()
    node = compiled(schema) if given else None
    for index, rule in enumerate(given):
        assert node is not None
        yield from _rule(rule, f"{path}.x-kubernetes-validations[{index}]", uncorrelated, node, root or node.embedded)
    for name, inner in (schema.get("properties") or {}).items():
        lost = uncorrelated or (path if schema.get("x-kubernetes-map-type") == "atomic" else "")
        yield from _rules(inner, f"{path}.properties[{name}]", lost)
    if isinstance(additional := schema.get("additionalProperties"), dict):
        yield from _rules(additional, f"{path}.additionalProperties", uncorrelated)
    if isinstance(items := schema.get("items"), dict):
        lost = uncorrelated or (path if schema.get("x-kubernetes-list-type") != "map" else "")
        yield from _rules(items, f"{path}.items", lost)


def _rule(given: JSON, path: str, uncorrelated: str, node: Node, resource: bool) -> Iterator[Cause]:
    rule = Rule(given["rule"], message_expression=given.get("messageExpression") or "")
    variables = ("self",) if given.get("optionalOldSelf") else ("self", "oldSelf")
    for field, compile_ in (("rule", rules.compile_rule), ("messageExpression", rules.compile_message)):
        if field == "messageExpression" and not rule.message_expression:
            continue
        prefix = "messageExpression " if field == "messageExpression" else ""
        try:
            program = compile_(rule)
        except CelError as error:
            yield invalid(f"{path}.{field}", given, f"{prefix}{error}")
            continue
        for name in fields.undefined(program, node, resource=resource, variables=variables):
            yield invalid(f"{path}.{field}", given, f"{prefix}compilation failed: undefined field '{name}'")
    if rules.uses_old(rule.rule):
        if uncorrelated:
            detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
            yield invalid(f"{path}.rule", given["rule"], detail)
    elif (optional := given.get("optionalOldSelf")) is not None:
        yield invalid(f"{path}.optionalOldSelf", optional, "may not be set if oldSelf is not used in rule")
