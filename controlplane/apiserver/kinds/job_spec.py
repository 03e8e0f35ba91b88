"""The spec of a Job, as a Job has it and as a CronJob's template has it: its policies' defaults, and what is refused.

Pure. Rules and texts are those of pkg/apis/batch/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from controlplane.apiserver.kinds.causes import (
    all_invalid,
    duplicate,
    invalid,
    non_negative,
    not_supported,
    required,
    too_long,
    too_many,
)
from controlplane.apiserver.kinds.job_indexes import read_indexes
from controlplane.apiserver.kinds.podtemplate import validate_template
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON

INDEXED = "Indexed"
MAX_INDEXED_PARALLELISM, MAX_FAILED_INDEXES = 100_000, 100_000
MANY_COMPLETIONS, PARALLELISM_OF_MANY, FAILED_INDEXES_OF_MANY = 100_000, 10_000, 10_000
"""Above so many completions with a back-off limit per index the others are limited more."""
MAX_RULES, MAX_EXIT_CODES, MAX_PATTERNS = 20, 255, 20
MAX_INDEXES_TEXT = 64 * 1024
MAX_MANAGED_BY = 63

_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_HTTP_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


def default_policies(spec: JSON) -> None:
    """A pattern of a pod failure policy asks for a condition that is True, unless it says otherwise."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"


def validate_job_spec(spec: JSON, path: str) -> list[Cause]:
    """All but selector and changes, under ``path``."""
    found: list[Cause] = []
    for field in _COUNTS:
        found += non_negative(f"{path}.{field}", spec.get(field))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        found.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if (manager := spec.get("managedBy")) is not None:
        found += _managed_by(manager, f"{path}.managedBy")
    found += _mode(spec, path)
    if (policy := spec.get("podFailurePolicy")) is not None:
        found += _failure_policy(spec, policy, f"{path}.podFailurePolicy.rules")
    if (success := spec.get("successPolicy")) is not None:
        if spec.get("completionMode") == INDEXED:
            found += _success_policy(spec, success, f"{path}.successPolicy.rules")
        else:
            found.append(invalid(f"{path}.successPolicy", success, "requires indexed completion mode"))
    if (replacement := spec.get("podReplacementPolicy")) is not None:
        allowed = ("Failed",) if policy is not None else ("Failed", "TerminatingOrFailed")
        if replacement not in allowed:
            found.append(not_supported(f"{path}.podReplacementPolicy", replacement, allowed))
    return found + _template(spec, f"{path}.template")


def _managed_by(manager: str, path: str) -> list[Cause]:
    host, _, rest = manager.partition("/")
    if not manager:
        return [required(path)]
    if not host or not rest:
        return [invalid(path, manager, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    found = all_invalid(path, host, names.dns_subdomain(host))
    if not _HTTP_PATH.fullmatch(rest):
        found.append(invalid(path, rest, "Invalid path (regex used for validation is '" + _HTTP_PATH.pattern + "')"))
    if len(manager) > MAX_MANAGED_BY:
        found.append(too_long(path, MAX_MANAGED_BY))
    return found


def _mode(spec: JSON, path: str) -> list[Cause]:
    mode = spec.get("completionMode")
    parallel, completions, failed = (spec.get(field) for field in ("parallelism", "completions", "maxFailedIndexes"))
    if mode != INDEXED:
        found = [] if mode in (None, "NonIndexed") else [
            not_supported(f"{path}.completionMode", mode, ("NonIndexed", INDEXED))
        ]  # fmt: skip
        for field in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if mode in (None, "NonIndexed") and spec.get(field) is not None:
                found.append(invalid(f"{path}.{field}", spec[field], "requires indexed completion mode"))
        return found
    found = []
    if completions is None:
        found.append(required(f"{path}.completions", f"when completion mode is {INDEXED}"))
    if (parallel or 0) > MAX_INDEXED_PARALLELISM:
        detail = f"must be less than or equal to {MAX_INDEXED_PARALLELISM} when completion mode is {INDEXED}"
        found.append(invalid(f"{path}.parallelism", parallel, detail))
    if failed is not None:
        if completions is not None and failed > completions:
            found.append(invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions"))
        if failed > MAX_FAILED_INDEXES:
            detail = f"must be less than or equal to {MAX_FAILED_INDEXES}"
            found.append(invalid(f"{path}.maxFailedIndexes", failed, detail))
    if (completions or 0) > MANY_COMPLETIONS and spec.get("backoffLimitPerIndex") is not None:
        if failed is None:
            detail = f"must be specified when completions is above {MANY_COMPLETIONS}"
            found.append(required(f"{path}.maxFailedIndexes", detail))
        for field, limit in (("parallelism", PARALLELISM_OF_MANY), ("maxFailedIndexes", FAILED_INDEXES_OF_MANY)):
            if (spec.get(field) or 0) > limit:
                detail = (
                    f"must be less than or equal to {limit} when completions are above {MANY_COMPLETIONS} and used "
                    "with backoff limit per index"
                )
                found.append(invalid(f"{path}.{field}", spec[field], detail))
    return found


def _failure_policy(spec: JSON, policy: JSON, path: str) -> list[Cause]:
    rules = policy.get("rules") or ()
    pod: JSON = (spec.get("template") or {}).get("spec") or {}
    containers = {
        container.get("name") for field in ("containers", "initContainers") for container in pod.get(field) or ()
    }
    found = [too_many(path, len(rules), MAX_RULES)] if len(rules) > MAX_RULES else []
    for index, rule in enumerate(rules):
        found += _failure_rule(spec, rule, f"{path}[{index}]", containers)
    return found


def _failure_rule(spec: JSON, rule: JSON, path: str, containers: set[str | None]) -> list[Cause]:
    found: list[Cause] = []
    action, codes, patterns = rule.get("action"), rule.get("onExitCodes"), rule.get("onPodConditions") or ()
    if not action:
        found.append(required(f"{path}.action", f"valid values: {_quoted(_ACTIONS)}"))
    elif action == "FailIndex":
        if spec.get("backoffLimitPerIndex") is None:
            found.append(invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set"))
    elif action not in _ACTIONS:
        found.append(not_supported(f"{path}.action", action, _ACTIONS))
    if codes is not None:
        found += _exit_codes(codes, f"{path}.onExitCodes", containers)
    found += _patterns(patterns, f"{path}.onPodConditions")
    if codes is not None and patterns:
        found.append(_without_value(path, "specifying both OnExitCodes and OnPodConditions is not supported"))
    if codes is None and not patterns:
        found.append(_without_value(path, "specifying one of OnExitCodes and OnPodConditions is required"))
    return found


def _exit_codes(codes: JSON, path: str, containers: set[str | None]) -> list[Cause]:
    found: list[Cause] = []
    operator, values = codes.get("operator"), codes.get("values") or []
    if not operator:
        found.append(required(f"{path}.operator", f"valid values: {_quoted(_OPERATORS)}"))
    elif operator not in _OPERATORS:
        found.append(not_supported(f"{path}.operator", operator, _OPERATORS))
    if (name := codes.get("containerName")) is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        found.append(invalid(f"{path}.containerName", name, detail))
    if not values:
        found.append(invalid(f"{path}.values", values, "at least one value is required"))
    elif len(values) > MAX_EXIT_CODES:
        found.append(too_many(f"{path}.values", len(values), MAX_EXIT_CODES))
    for index, value in enumerate(values):
        here = f"{path}.values[{index}]"
        if operator == "In" and value == 0:
            found.append(invalid(here, value, "must not be 0 for the In operator"))
        if value in values[:index]:
            found.append(duplicate(here, value))
    if values != sorted(values):
        found.append(invalid(f"{path}.values", values, "must be ordered"))
    return found


def _patterns(patterns: Iterable[JSON], path: str) -> list[Cause]:
    listed = list(patterns)
    found = [too_many(path, len(listed), MAX_PATTERNS)] if len(listed) > MAX_PATTERNS else []
    for index, pattern in enumerate(listed):
        kind, status = pattern.get("type") or "", pattern.get("status")
        found += all_invalid(f"{path}[{index}].type", kind, names.qualified_name(kind))
        if not status:
            found.append(required(f"{path}[{index}].status", f"valid values: {_quoted(_STATUSES)}"))
        elif status not in _STATUSES:
            found.append(not_supported(f"{path}[{index}].status", status, _STATUSES))
    return found


def _success_policy(spec: JSON, policy: JSON, path: str) -> list[Cause]:
    rules = policy.get("rules") or ()
    found: list[Cause] = []
    if not rules:
        found.append(required(path, "at least one rules must be specified when the successPolicy is specified"))
    if len(rules) > MAX_RULES:
        found.append(too_many(path, len(rules), MAX_RULES))
    completions = spec.get("completions") or 0
    for index, rule in enumerate(rules):
        found += _success_rule(rule, completions, f"{path}[{index}]")
    return found


def _success_rule(rule: JSON, completions: int, path: str) -> list[Cause]:
    found: list[Cause] = []
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        found.append(required(path, "at least one of succeededCount or succeededIndexes must be specified"))
    total = 0
    if indexes is not None:
        if len(indexes) > MAX_INDEXES_TEXT:
            found.append(too_long(f"{path}.succeededIndexes", MAX_INDEXES_TEXT))
        try:
            total = len(read_indexes(indexes, completions))
        except ValueError as error:
            found.append(invalid(f"{path}.succeededIndexes", indexes, f"error parsing succeededIndexes: {error}"))
    if count is not None:
        found += non_negative(f"{path}.succeededCount", count)
        if count > completions:
            detail = f"must be less than or equal to {completions} (the number of specified completions)"
            found.append(invalid(f"{path}.succeededCount", count, detail))
        if indexes is not None and count > total:
            detail = (
                f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            )
            found.append(invalid(f"{path}.succeededCount", count, detail))
    return found


def _template(spec: JSON, path: str) -> list[Cause]:
    template: JSON = spec.get("template") or {}
    found = validate_template(template, path)
    policy = (template.get("spec") or {}).get("restartPolicy") or ""
    if policy in ("", "Always"):
        found.append(required(f"{path}.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        found.append(not_supported(f"{path}.spec.restartPolicy", policy, ("OnFailure", "Never")))
    elif policy != "Never" and spec.get("podFailurePolicy") is not None:
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        found.append(invalid(f"{path}.spec.restartPolicy", policy, detail))
    return found


def _quoted(choices: Iterable[str]) -> str:
    """As Go prints a list of strings."""
    return "[" + " ".join(f'"{choice}"' for choice in choices) + "]"


def _without_value(path: str, detail: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {detail}", path)
