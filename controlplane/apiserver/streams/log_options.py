"""PodLogOptions: from a query to what an agent is asked, with Kubernetes' refusals. Pure.

Parsing follows k8s.io/apimachinery/pkg/conversion/queryparams, validation ValidatePodLogOptions of pkg/apis/core/
validation, the choice of a container pkg/registry/core/pod/strategy.go, and what is said of a container without a
log the kubelet's validateContainerLogStatus.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.api.errors import BadRequest, Cause, Invalid
from shared.api.pod import ContainerStatus, Pod
from shared.streams import LogParameters


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A parsed query; ``container`` is empty when none was named. Times as they were given."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_seconds: int | None = None
    since_time: str | None = None
    limit_bytes: int | None = None

    def of(self, pod: Pod, container: str) -> LogParameters:
        meta = pod.metadata
        return LogParameters(
            meta.namespace, meta.name, meta.uid, container, self.follow, self.previous, self.timestamps,
            self.tail_lines, self.since_seconds, self.since_time, self.limit_bytes,
        )  # fmt: skip


def parse_query(query: Mapping[str, str], pod_name: str) -> LogQuery:
    """Raises BadRequest for what is no number or time, Invalid (422) for what is out of range."""
    found = LogQuery(
        container=query.get("container", ""),
        follow=_boolean(query, "follow"),
        previous=_boolean(query, "previous"),
        timestamps=_boolean(query, "timestamps"),
        tail_lines=_integer(query, "tailLines"),
        since_seconds=_integer(query, "sinceSeconds"),
        since_time=_time(query, "sinceTime"),
        limit_bytes=_integer(query, "limitBytes"),
    )
    causes = []
    if found.tail_lines is not None and found.tail_lines < 0:
        causes.append(_invalid("tailLines", found.tail_lines, "must be greater than or equal to 0"))
    if found.limit_bytes is not None and found.limit_bytes < 1:
        causes.append(_invalid("limitBytes", found.limit_bytes, "must be greater than 0"))
    if found.since_seconds is not None and found.since_time is not None:
        causes.append(
            Cause("FieldValueForbidden", "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified")
        )
    elif found.since_seconds is not None and found.since_seconds < 1:
        causes.append(_invalid("sinceSeconds", found.since_seconds, "must be greater than 0"))
    if query.get("stream", "All") not in ("All", ""):
        causes.append(
            Cause(
                "FieldValueNotSupported", f'Unsupported value: "{query["stream"]}": supported values: "All"', "stream"
            )
        )
    if causes:
        texts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
        listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        raise Invalid(
            f'PodLogOptions "{pod_name}" is invalid: {listed}', kind="PodLogOptions", name=pod_name, causes=causes
        )
    return found


def check_has_log(pod: Pod, container: str, previous: bool) -> None:
    """Raises BadRequest, as a kubelet does, when the pod's status says that there is no such log yet."""
    about = f"container {json.dumps(container)} in pod {json.dumps(pod.metadata.name)}"
    told = pod.status
    statuses = (*told.container_statuses, *told.init_container_statuses, *told.ephemeral_container_statuses)
    status = next((each for each in statuses if each.name == container), None)
    if status is None:
        if pod.status.phase in ("", "Pending"):
            raise BadRequest(f"{about} is waiting to start: ContainerCreating")
        raise BadRequest(f"{about} is not available")
    if previous:
        if status.last_state.terminated is None:
            raise BadRequest(f"previous terminated {about} not found")
    elif waiting := _waits(status):
        words = {
            "ErrImagePull": "image can't be pulled",
            "ImagePullBackOff": "trying and failing to pull image",
        }.get(waiting, waiting)
        raise BadRequest(f"{about} is waiting to start: {words}")


def _waits(status: ContainerStatus) -> str:
    """Why a container that has never run waits; empty when there is a log, of now or of its last run."""
    state = status.state
    if state.running is not None or state.terminated is not None or status.last_state.terminated is not None:
        return ""
    return (state.waiting.reason if state.waiting is not None else "") or "ContainerCreating"


def _invalid(field: str, value: int, rule: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {value}: {rule}", field)


def _boolean(query: Mapping[str, str], key: str) -> bool:
    """Only absence, ``false`` and ``0`` are false, as queryparams has it."""
    return key in query and query[key].lower() not in ("false", "0")


def _integer(query: Mapping[str, str], key: str) -> int | None:
    text = query.get(key, "")
    if not text:
        return None
    digits = text[1:] if text[0] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise BadRequest(f'{key}: strconv.ParseInt: parsing "{text}": invalid syntax')
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise BadRequest(f'{key}: strconv.ParseInt: parsing "{text}": value out of range')
    return value


def _time(query: Mapping[str, str], key: str) -> str | None:
    text = query.get(key, "")
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None or "T" not in text.upper():
            raise ValueError("it is not RFC 3339")
    except ValueError as error:
        raise BadRequest(f'{key}: parsing time "{text}" as "2006-01-02T15:04:05Z07:00": {error}') from error
    return when.isoformat()
