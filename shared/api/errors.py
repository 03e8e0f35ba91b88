"""One exception class per reason of a Kubernetes Status; each knows its HTTP code and its ``details``.

The API server renders them in one place (``to_status``), the HTTP client rebuilds the same class
(``from_status``), so code on either side of the wire catches the same types. Reasons and codes are those of
k8s.io/apimachinery/pkg/apis/meta/v1 (StatusReason*) and pkg/api/errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason for a refusal: ``reason`` is a CauseType such as FieldValueInvalid, ``field`` a field path."""

    reason: str
    message: str
    field: str = ""


class StatusError(Exception):
    """An answer of the API that is not a success. Raise a subclass, never this."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = ""
    always_details: ClassVar[bool] = False
    """Whether ``details`` is there even when it is empty: kubectl reads into it without looking."""

    def __init__(
        self,
        message: str,
        *,
        group: str = "",
        kind: str = "",
        name: str = "",
        uid: str = "",
        causes: Iterable[Cause] = (),
        retry_after_seconds: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.group, self.kind, self.name, self.uid = group, kind, name, uid
        self.causes = tuple(causes)
        self.retry_after_seconds = retry_after_seconds

    def details(self) -> dict[str, Any]:
        """``details`` of the Status; empty members are left out as Kubernetes does."""
        details: dict[str, Any] = {}
        for key in ("name", "group", "kind", "uid"):
            if value := getattr(self, key):
                details[key] = value
        if self.causes:
            details["causes"] = [
                {"reason": c.reason, "message": c.message, **({"field": c.field} if c.field else {})}
                for c in self.causes
            ]
        if self.retry_after_seconds:
            details["retryAfterSeconds"] = self.retry_after_seconds
        return details

    def to_status(self) -> dict[str, Any]:
        """The Status object that goes on the wire."""
        status: dict[str, Any] = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
        }  # fmt: skip
        if self.reason:
            status["reason"] = self.reason
        details = self.details()
        if details or self.always_details:
            status["details"] = details
        status["code"] = self.code
        return status


class BadRequest(StatusError):
    code, reason = 400, "BadRequest"


class Unauthorized(StatusError):
    code, reason = 401, "Unauthorized"


class Forbidden(StatusError):
    code, reason = 403, "Forbidden"
    always_details = True


class NotFound(StatusError):
    code, reason = 404, "NotFound"
    always_details = True


class MethodNotAllowed(StatusError):
    code, reason = 405, "MethodNotAllowed"
    always_details = True


class NotAcceptable(StatusError):
    code, reason = 406, "NotAcceptable"
    always_details = True


class AlreadyExists(StatusError):
    code, reason = 409, "AlreadyExists"
    always_details = True


class Conflict(StatusError):
    code, reason = 409, "Conflict"
    always_details = True


class Gone(StatusError):
    code, reason = 410, "Gone"


class Expired(StatusError):
    """The resourceVersion or continue token is older than the kept history: list again."""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(StatusError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(StatusError):
    code, reason = 415, "UnsupportedMediaType"
    always_details = True


class Invalid(StatusError):
    code, reason = 422, "Invalid"
    always_details = True


class TooManyRequests(StatusError):
    code, reason = 429, "TooManyRequests"


class InternalError(StatusError):
    code, reason = 500, "InternalError"


class ServiceUnavailable(StatusError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(StatusError):
    """The server gave up within the request's own time limit; the outcome may be unknown."""

    code, reason = 504, "Timeout"


CLASSES: tuple[type[StatusError], ...] = (
    BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict, Gone,
    Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError,
    ServiceUnavailable, Timeout,
)  # fmt: skip
_BY_REASON = {cls.reason: cls for cls in CLASSES}
_BY_CODE = {cls.code: cls for cls in reversed(CLASSES)}


def from_status(status: dict[str, Any], code: int = 0) -> StatusError:
    """The exception that a Status stands for; an unknown reason is classed by its code, else InternalError."""
    code = int(status.get("code") or code or 500)
    cls = _BY_REASON.get(status.get("reason") or "") or _BY_CODE.get(code) or InternalError
    details = status.get("details") or {}
    causes = [Cause(c.get("reason", ""), c.get("message", ""), c.get("field", "")) for c in details.get("causes") or ()]
    return cls(
        status.get("message") or f"the server answered {code}",
        group=details.get("group", ""),
        kind=details.get("kind", ""),
        name=details.get("name", ""),
        uid=details.get("uid", ""),
        causes=causes,
        retry_after_seconds=int(details.get("retryAfterSeconds") or 0),
    )
