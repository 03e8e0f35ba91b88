"""The query and path parameters of operations, as OpenAPI 3.0 says them. Pure.

Which there are for which verb is after metav1's option types (ListOptions, CreateOptions ...), PodLogOptions,
PodExecOptions, PodAttachOptions and their like; only those that are served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.api.meta import JSON

Parameters = Sequence[JSON]


def _query(name: str, kind: str, description: str) -> JSON:
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind, "uniqueItems": True}}


_DRY_RUN = _query("dryRun", "string", "All: do everything but write.")

WRITING: Parameters = (
    _DRY_RUN,
    _query("fieldManager", "string", "Name of whoever makes the change."),
    _query("fieldValidation", "string", "What to do about unknown and doubled fields: Ignore, Warn or Strict."),
)
FORCE: JSON = _query("force", "boolean", "Take over fields of other managers.")
DELETING: Parameters = (
    _DRY_RUN,
    _query("gracePeriodSeconds", "integer", "Seconds that the object has to end."),
    _query("orphanDependents", "boolean", "Whether dependents stay; propagationPolicy says it better."),
    _query("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
)
LISTING: Parameters = (
    _query("allowWatchBookmarks", "boolean", "Send bookmarks in a watch."),
    _query("continue", "string", "Where the list before this one ended."),
    _query("fieldSelector", "string", "Only objects with these fields."),
    _query("labelSelector", "string", "Only objects with these labels."),
    _query("limit", "integer", "At most so many objects."),
    _query("resourceVersion", "string", "How new the answer must be at least, or where a watch begins."),
    _query("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    _query("sendInitialEvents", "boolean", "Begin a watch with the objects that are there."),
    _query("timeoutSeconds", "integer", "End after so many seconds."),
    _query("watch", "boolean", "Stream changes instead of a list."),
)
_CONTAINER = _query("container", "string", "The container; needed where a pod has several and none is the default.")
LOG: Parameters = (
    _CONTAINER,
    _query("follow", "boolean", "Go on with what is written from now on."),
    _query("limitBytes", "integer", "At most so many bytes."),
    _query("previous", "boolean", "The log of the container that ran before this one."),
    _query("sinceSeconds", "integer", "Only what was written in so many seconds."),
    _query("sinceTime", "string", "Only what was written from this time on."),
    _query("tailLines", "integer", "Only so many lines from the end."),
    _query("timestamps", "boolean", "Each line with its time."),
)
_STREAMS = (
    _CONTAINER,
    _query("stderr", "boolean", "Whether standard error is redirected."),
    _query("stdin", "boolean", "Whether standard input is redirected."),
    _query("stdout", "boolean", "Whether standard output is redirected."),
    _query("tty", "boolean", "Whether there is a terminal."),
)
CONNECTING: Mapping[str, Parameters] = {
    "attach": _STREAMS,
    "exec": (_query("command", "string", "The program and its arguments, each a parameter of its own."), *_STREAMS),
    "portforward": (_query("ports", "integer", "The ports to forward, where the protocol is WebSocket."),),
    "proxy": (_query("path", "string", "The path of the request to pass on."),),
}
"""By subresource: those that connect a client to something else than the API."""


def place(kind: str, *, named: bool, namespaced: bool, rest: bool = False) -> list[JSON]:
    """The parameters in a path."""
    wanted = {"name": named, "namespace": namespaced, "path": rest}
    return [
        {
            "name": name, "in": "path", "required": True, "description": f"{name} of the {kind}",
            "schema": {"type": "string", "uniqueItems": True},
        }
        for name, is_wanted in wanted.items() if is_wanted
    ]  # fmt: skip
