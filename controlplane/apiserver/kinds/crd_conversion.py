"""How objects of a CustomResourceDefinition become those of another of its versions: defaults and validation.

Pure. Rules and texts are those of k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go
(validateCustomResourceConversion), which names the fields as its internal version does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controlplane.apiserver.kinds.causes import all_invalid, forbidden, invalid, not_supported, required
from controlplane.apiserver.kinds.webhook_client import default_client, validate_bundle, validate_client
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON

_PATH = "spec.conversion"
_CLIENT = f"{_PATH}.webhookClientConfig"
_REVIEWS = f"{_PATH}.conversionReviewVersions"
_KNOWN = ("v1", "v1beta1")


def default(spec: JSON) -> None:
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    default_client((conversion.get("webhook") or {}).get("clientConfig"))


def validate(spec: JSON, old: JSON | None) -> Iterator[Cause]:
    """``old`` is the definition that is updated."""
    conversion: JSON = spec.get("conversion") or {}
    strategy, webhook = conversion.get("strategy") or "", conversion.get("webhook")
    if not strategy:
        yield required(f"{_PATH}.strategy")
    elif strategy not in ("None", "Webhook"):
        yield not_supported(f"{_PATH}.strategy", strategy, ("None", "Webhook"))
    if strategy == "Webhook":
        yield from _webhook(webhook or {}, old)
    elif webhook is not None:
        why = "should not be set when strategy is not set to Webhook"
        if webhook.get("clientConfig") is not None:
            yield forbidden(_CLIENT, why)
        if webhook.get("conversionReviewVersions"):
            yield forbidden(_REVIEWS, why)


def _webhook(webhook: JSON, old: JSON | None) -> Iterator[Cause]:
    client = webhook.get("clientConfig")
    if client is None:
        yield required(_CLIENT, "required when strategy is set to Webhook")
    else:
        yield from validate_client(client, _CLIENT)
        if (bundle := client.get("caBundle")) and old is not None and not _may_be_wrong(old):
            yield from validate_bundle(bundle, f"{_CLIENT}.caBundle")
    versions: Sequence[str] = webhook.get("conversionReviewVersions") or ()
    if not versions:
        yield required(_REVIEWS)
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid(f"{_REVIEWS}[{index}]", version, "duplicate version")
        else:
            yield from all_invalid(f"{_REVIEWS}[{index}]", version, names.dns_1035_label(version))
    if not set(versions) & set(_KNOWN):
        yield invalid(_REVIEWS, list(versions), f"must include at least one of {', '.join(_KNOWN)}")


def _may_be_wrong(old: JSON) -> bool:
    """Whether an update may bring a caBundle that holds no certificates: only where that harms nobody who works."""
    conditions = (old.get("status") or {}).get("conditions") or ()
    if not any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
        return True
    client = ((old["spec"].get("conversion") or {}).get("webhook") or {}).get("clientConfig") or {}
    bundle = client.get("caBundle") or ""
    return bool(bundle) and any(True for _ in validate_bundle(bundle, ""))
