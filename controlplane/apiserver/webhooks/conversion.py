"""Asks the conversion webhook of a CustomResourceDefinition.

After k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go. Of metadata a webhook may change
labels and annotations only. Owns nothing; what is sent at once is bounded. On the event loop.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from controlplane.apiserver.kinds.metadata import validate_annotations, validate_labels
from controlplane.apiserver.webhooks.caller import Caller, CallFailed
from shared import codec
from shared.api.errors import InternalError
from shared.api.meta import JSON

GROUP = "apiextensions.k8s.io"
REVIEWS = ("v1", "v1beta1")
TIMEOUT = 30.0
"""Seconds for an answer (DefaultWebhookTimeout of k8s.io/apiserver/pkg/util/webhook)."""

MOST_OBJECTS, MOST_BYTES = 250, 1 << 20
"""Sent in one question: the answer, of about their size, must fit what ``Caller`` takes."""


class _Wrong(Exception):
    """What is wrong with an answer."""


class ConversionWebhooks:
    """Implements ``conversions.Convert``."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def __call__(self, webhook: JSON, trees: Sequence[JSON], api_version: str) -> list[JSON]:
        """See ``conversions.Convert``. Raises InternalError, with upstream's words."""
        made: list[JSON] = []
        for chunk in _chunks(trees):
            try:
                made += await self._ask(webhook, chunk, api_version)
            except (CallFailed, _Wrong) as error:
                group_version, kind = chunk[0]["apiVersion"], chunk[0]["kind"]
                raise InternalError(f"conversion webhook for {group_version}, Kind={kind} failed: {error}") from error
        return made

    async def _ask(self, webhook: JSON, trees: Sequence[JSON], api_version: str) -> list[JSON]:
        version = next(version for version in webhook["conversionReviewVersions"] if version in REVIEWS)
        uid = str(uuid.uuid4())
        question = {
            "kind": "ConversionReview", "apiVersion": f"{GROUP}/{version}",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(trees)},
        }  # fmt: skip
        answer = await self._caller.ask(webhook["clientConfig"], question, TIMEOUT)
        made = _converted(answer, version, uid)
        if len(made) != len(trees):
            raise _Wrong(f"returned {len(made)} objects, expected {len(trees)}")
        return [
            _checked(old, new, api_version, index) for index, (old, new) in enumerate(zip(trees, made, strict=True))
        ]


def _chunks(trees: Sequence[JSON]) -> Iterator[list[JSON]]:
    chunk: list[JSON] = []
    size = 0
    for tree in trees:
        length = len(codec.encode(tree))
        if chunk and (len(chunk) == MOST_OBJECTS or size + length > MOST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(tree)
        size += length
    if chunk:
        yield chunk


def _converted(answer: Any, version: str, uid: str) -> list[Any]:
    """The objects of an answer (getConvertedObjectsFromResponse). Raises _Wrong."""
    if not isinstance(answer, dict):
        raise _Wrong("the answer is no ConversionReview")
    response = answer.get("response")
    if version == "v1":
        said, wanted = (answer.get("apiVersion"), answer.get("kind")), (f"{GROUP}/v1", "ConversionReview")
        if said != wanted:
            raise _Wrong(f"expected webhook response of {wanted[0]}, Kind={wanted[1]}, got {said[0]}, Kind={said[1]}")
    if not isinstance(response, dict):
        raise _Wrong("no response provided")
    if version == "v1" and response.get("uid") != uid:
        raise _Wrong(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result")
    status, message = (result.get("status"), result.get("message")) if isinstance(result, dict) else ("", "")
    if status != "Success":
        raise _Wrong(str(message) if message else f"response.result.status was '{status or ''}', not 'Success'")
    made = response.get("convertedObjects") or []
    if not isinstance(made, list):
        raise _Wrong("response.convertedObjects is no list")
    return made


def _checked(old: JSON, new: Any, api_version: str, index: int) -> JSON:
    """``new`` with all metadata but labels and annotations as they were. Raises _Wrong."""
    where = f"invalid converted object at index {index}"
    if not isinstance(new, dict):
        raise _Wrong(f"{where}: it is no object")
    if new.get("apiVersion") != api_version:
        raise _Wrong(f"{where}: invalid groupVersion (expected {api_version}, received {new.get('apiVersion')})")
    if new.get("kind") != old["kind"]:
        raise _Wrong(f"{where}: invalid kind (expected {old['kind']}, received {new.get('kind')})")
    was, meta = old["metadata"], new.get("metadata")
    if not isinstance(meta, dict):
        raise _Wrong(f"invalid metadata in object at index {index}: missing metadata in converted object")
    for field, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        if (before := was.get(field) or "") != (after := meta.get(field) or ""):
            raise _Wrong(f"{where}: must have the same {shown}: {before} != {after}")
    kept = {key: value for key, value in was.items() if key not in _CHANGEABLE}
    for field in _CHANGEABLE:
        if (value := meta.get(field)) is not None:
            kept[field] = value
            if problem := _problem(field, value):
                raise _Wrong(f"invalid metadata in object at index {index}: {problem}")
    return {**new, "metadata": kept}


_CHANGEABLE = ("labels", "annotations")


def _problem(field: str, value: Any) -> str:
    """What is wrong with labels or annotations, if anything."""
    if not isinstance(value, dict):
        return f"metadata.{field} must be an object"
    for key, text in value.items():
        if not isinstance(text, str):
            return f"metadata.{field}[{key}] must be a string"
    rule = validate_labels if field == "labels" else validate_annotations
    return "; ".join(f"{cause.field}: {cause.message}" for cause in rule(value, f"metadata.{field}"))
