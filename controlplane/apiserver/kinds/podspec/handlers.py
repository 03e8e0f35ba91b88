"""What is wrong with probes and lifecycle hooks.

Pure. Rules and texts are those of validateProbe and validateHandler in pkg/apis/core/validation.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.kinds.causes import (
    all_invalid,
    forbidden,
    invalid,
    non_negative,
    not_supported,
    required,
)
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON

_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


def validate_probes(container: JSON, at: str) -> list[Cause]:
    """The three probes of one container."""
    found: list[Cause] = []
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        here = f"{at}.{name}"
        found += _handler(probe, here, "must specify a handler type")
        for field in _NUMBERS:
            found += non_negative(f"{here}.{field}", probe.get(field))
        grace = probe.get("terminationGracePeriodSeconds")
        if name == "readinessProbe":
            if grace is not None:
                detail = "must not be set for readinessProbes"
                found.append(invalid(f"{here}.terminationGracePeriodSeconds", grace, detail))
            continue
        if (threshold := probe.get("successThreshold") or 0) != 1:
            found.append(invalid(f"{here}.successThreshold", threshold, "must be 1"))
        if grace is not None and grace <= 0:
            found.append(invalid(f"{here}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
    return found


def validate_lifecycle(lifecycle: JSON | None, grace: Any, at: str) -> list[Cause]:
    """postStart and preStop of a container in a pod with ``grace`` seconds to end."""
    found: list[Cause] = []
    for name in ("postStart", "preStop"):
        hook = (lifecycle or {}).get(name)
        if hook is not None:
            found += _handler(hook, f"{at}.{name}", "must specify a handler type")
            found += _sleep(hook.get("sleep"), grace, f"{at}.{name}.sleep")
    return found


def _sleep(sleep: JSON | None, grace: Any, at: str) -> list[Cause]:
    """validateSleepAction; a grace that is wrong itself is told where it stands."""
    seconds = (sleep or {}).get("seconds") or 0
    if sleep is None or not isinstance(grace, int) or 0 <= seconds <= grace:
        return []
    return [invalid(at, seconds, f"must be non-negative and less than terminationGracePeriodSeconds ({grace})")]


def _handler(handler: JSON, at: str, missing: str) -> list[Cause]:
    given = [name for name in _HANDLERS if handler.get(name) is not None]
    if not given:
        return [required(at, missing)]
    found: list[Cause] = []
    for position, name in enumerate(given):
        action, here = handler[name], f"{at}.{name}"
        if position:
            found.append(forbidden(here, "may not specify more than 1 handler type"))
        elif name == "exec":
            if not action.get("command"):
                found.append(required(f"{here}.command"))
        elif name == "httpGet":
            found += _http(action, here)
        elif name in ("tcpSocket", "grpc"):
            found += port_number_or_name(action.get("port"), f"{here}.port")
    return found


def _http(action: JSON, at: str) -> list[Cause]:
    found: list[Cause] = []
    if not action.get("path"):
        found.append(required(f"{at}.path"))
    found += port_number_or_name(action.get("port"), f"{at}.port")
    if (scheme := action.get("scheme") or "") not in ("HTTP", "HTTPS"):
        found.append(not_supported(f"{at}.scheme", scheme, ("HTTP", "HTTPS")))
    for index, header in enumerate(action.get("httpHeaders") or ()):
        name = header.get("name") or ""
        found += all_invalid(f"{at}.httpHeaders[{index}].name", name, names.http_header(name))
    return found


def port_number_or_name(port: Any, at: str) -> list[Cause]:
    """A port as a number, or as the name of a container's port."""
    if isinstance(port, str):
        return all_invalid(at, port, names.port_name(port))
    number = port or 0
    return all_invalid(at, number, names.port_number(number))
