"""How a webhook is reached: a WebhookClientConfig's validation, the same wherever one is named.

Pure. Rules and texts are those of k8s.io/apiserver/pkg/util/webhook/validation.go.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from controlplane.apiserver.kinds.causes import invalid, required
from shared.api.errors import Cause
from shared.api.meta import JSON


def default_client(config: JSON | None) -> None:
    """Fill in a service's port, in place."""
    service = (config or {}).get("service")
    if isinstance(service, dict) and service.get("port") is None:
        service["port"] = 443


def validate_client(config: JSON, path: str) -> Iterator[Cause]:
    """What is wrong with where a webhook is; its caBundle is not looked at."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _url(url, f"{path}.url")
    elif service is not None:
        for field in ("namespace", "name"):
            if not service.get(field):
                yield required(f"{path}.service.{field}", f"service {field} is required")
        if (where := service.get("path")) and not where.startswith("/"):
            yield invalid(f"{path}.service.path", where, "must start with a '/'")
        port = service.get("port")
        if port is not None and not 1 <= port <= 65535:
            yield invalid(f"{path}.service.port", port, "must be between 1 and 65535, inclusive")


def validate_bundle(bundle: str, path: str) -> Iterator[Cause]:
    """What is wrong with the base64 of the certificates that a webhook is trusted by, one of which there must be."""
    try:
        ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (binascii.Error, ValueError, ssl.SSLError) as error:
        yield invalid(path, f"{len(bundle) * 3 // 4} bytes", f"unable to load root certificates: {error}")


def _url(url: str, path: str) -> Iterator[Cause]:
    form = "; desired format: https://host[/path]"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        yield required(path, f"url must be a valid URL: {error}{form}")
        return
    if parts.scheme != "https":
        yield invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{form}")
    if not parts.hostname:
        yield invalid(path, parts.netloc, f"host must be specified{form}")
    if parts.username is not None:
        yield invalid(path, "", "user information is not permitted in the URL")
    for name, value in (("fragments", parts.fragment), ("query parameters", parts.query)):
        if value:
            yield invalid(path, value, f"{name} are not permitted in the URL")
