"""What a verb gives back, and the Status of a success."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.apiserver.kinds.base import Column, Kind
from shared import codec
from shared.api.meta import JSON


@dataclass(frozen=True, slots=True)
class Answer:
    """``data`` is the JSON to send. ``is_object`` tells an object from a Status."""

    code: int
    data: bytes
    is_object: bool = True
    columns: tuple[Column, ...] | None = None
    """What the object is printed by, where not by its kind's columns."""

    def tree(self) -> JSON:
        tree: JSON = codec.decode(self.data)
        return tree


def success(code: int, kind: Kind | None = None, name: str = "", uid: str = "") -> Answer:
    """``status: Success``, with the details of what was deleted where a kind is given."""
    status: JSON = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if kind is not None:
        details: JSON = {"name": name, "group": kind.resource.group, "kind": kind.resource.plural, "uid": uid}
        status["details"] = {key: value for key, value in details.items() if value}
    else:
        status["code"] = code
    return Answer(code, codec.encode(status), is_object=False)
