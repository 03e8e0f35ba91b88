"""AdmissionReview (admission.k8s.io/v1): the question to a webhook, and what its answer says. Pure.

After k8s.io/apiserver/pkg/admission/plugin/webhook/{request,errors}.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from controlplane.apiserver.patching.json_patch import json_patch
from controlplane.apiserver.request import Request
from shared import codec
from shared.api.errors import StatusError, from_status
from shared.api.meta import JSON

_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class BadAnswer(Exception):
    """A webhook answered what is no AdmissionReview for the question; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a webhook says: ``refusal`` when it does not allow it, the ``patch`` operations, ``warnings``."""

    refusal: StatusError | None
    patch: list[JSON]
    warnings: tuple[str, ...]


def question(request: Request, operation: str, obj: JSON | None, old: JSON | None, uid: str, version: str) -> JSON:
    """The AdmissionReview to send, in ``version`` (v1 or v1beta1)."""
    resource = request.kind.resource
    kind = dict(
        zip(("group", "version", "kind"), request.sent or (*_group_version(request), resource.kind), strict=True)
    )
    plural = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    user: JSON = {"username": request.user.name, "groups": list(request.user.groups)}
    if request.user.uid:
        user["uid"] = request.user.uid
    if request.user.extra:
        user["extra"] = request.user.extras
    asked: JSON = {
        "uid": uid, "kind": kind, "resource": plural, "requestKind": kind, "requestResource": plural,
        "name": _name(request, obj), "operation": operation, "userInfo": user, "object": obj, "oldObject": old,
        "dryRun": request.options.dry_run,
        "options": _options(request, operation),
    }  # fmt: skip
    if request.namespace:
        asked["namespace"] = request.namespace
    if request.subresource:
        asked |= {"subResource": request.subresource, "requestSubResource": request.subresource}
    return {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": asked}


def _name(request: Request, obj: JSON | None) -> str:
    return request.name or ((obj or {}).get("metadata") or {}).get("name") or ""


def _group_version(request: Request) -> tuple[str, str]:
    return request.kind.resource.group, request.kind.resource.version


def _options(request: Request, operation: str) -> JSON | None:
    if operation not in _OPTIONS:
        return None
    options = {"kind": _OPTIONS[operation], "apiVersion": "meta.k8s.io/v1"}
    if operation != "DELETE" and (manager := request.options.field_manager):
        options["fieldManager"] = manager
    return options


def read(answer: Any, uid: str, webhook: str, *, mutates: bool) -> Verdict:
    """The verdict in an answer. Raises BadAnswer."""
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    if response.get("uid") != uid:
        raise BadAnswer(f"expected response.uid={uid!r}, got {response.get('uid')!r}")
    listed = response.get("warnings") or ()
    warnings = tuple(str(text) for text in listed) if isinstance(listed, list) else ()
    if response.get("allowed") is not True:
        return Verdict(_refusal(response.get("status"), webhook), [], warnings)
    encoded = response.get("patch")
    if not encoded:
        return Verdict(None, [], warnings)
    if not mutates:
        raise BadAnswer("a validating webhook may not send a patch")
    if response.get("patchType") != "JSONPatch":
        raise BadAnswer(f"expected response.patchType JSONPatch, got {response.get('patchType')!r}")
    try:
        patch = codec.decode(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise BadAnswer(f"response.patch cannot be read: {error}") from error
    if not isinstance(patch, list):
        raise BadAnswer("response.patch must be a list of operations")
    return Verdict(None, patch, warnings)


def patched(obj: JSON, patch: list[JSON]) -> JSON:
    """The object with a webhook's patch. Raises BadAnswer."""
    try:
        result = json_patch(codec.copy(obj), codec.copy(patch))
    except StatusError as error:
        raise BadAnswer(f"response.patch does not apply: {error.message}") from error
    if not isinstance(result, dict) or ("metadata" in obj and not isinstance(result.get("metadata"), dict)):
        raise BadAnswer("response.patch makes something that is no object")
    return result


def _refusal(status: Any, webhook: str) -> StatusError:
    """The refusal that the user sees (webhook/errors/statuserror.go: ToStatusErr)."""
    given: JSON = dict(status) if isinstance(status, dict) else {}
    code = given.get("code")
    given["code"] = code if isinstance(code, int) and 400 <= code < 600 else 400
    denied = f'admission webhook "{webhook}" denied the request'
    why = given.get("message") or given.get("reason")
    given["message"] = f"{denied}: {why}" if why else f"{denied} without explanation"
    return from_status(given)
