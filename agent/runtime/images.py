"""Image references, and which images are known to be on this host. No I/O; lives on the event loop.

The grammar is that of distribution/reference (``regexp.go``), which Docker and the kubelet use too.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass

from agent.runtime.base import Image, RuntimeFailure
from shared.work.clock import Clock

_DOMAIN = r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"  # fmt: skip  # noqa: E501
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_NAME_LIMIT = 255
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """``repository[:tag][@digest]`` taken apart; ``version`` is what to pull: the digest, else the tag."""

    repository: str
    tag: str
    digest: str

    @property
    def version(self) -> str:
        return self.digest or self.tag or "latest"


def parse_reference(image: str) -> Reference:
    """Raises RuntimeFailure with InvalidImageName, and says what is wrong."""
    match = _REFERENCE.fullmatch(image)
    if match is None:
        raise RuntimeFailure(f"image {image!r} is not a valid reference: {_fault(image)}", "InvalidImageName")
    if len(match["name"]) > _NAME_LIMIT:
        raise RuntimeFailure(f"image name is longer than {_NAME_LIMIT} characters", "InvalidImageName")
    if _IMAGE_ID.fullmatch(image):
        raise RuntimeFailure(f"image {image!r} is an id, not a name; it cannot be pulled", "InvalidImageName")
    return Reference(match["name"], match["tag"] or "", match["digest"] or "")


def _fault(image: str) -> str:
    if not image:
        return "it is empty"
    if image != image.strip() or re.search(r"\s", image):
        return "it contains white space"
    if "://" in image:
        return "it must not begin with a scheme"
    if re.search(r"[A-Z]", image.rpartition("/")[2].partition(":")[0]) or _REFERENCE.fullmatch(image.lower()):
        return "the repository name must be lower case"
    return "want [HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]"


class PresentImages:
    """What an inspect found a short while ago, so that thirty pods of one image ask once. Absence is never kept."""

    def __init__(self, clock: Clock, seconds: float, limit: int = 256) -> None:
        self._clock, self._seconds, self._limit = clock, seconds, limit
        self._known: OrderedDict[str, tuple[float, Image]] = OrderedDict()

    def get(self, name: str) -> Image | None:
        entry = self._known.get(name)
        if entry is None:
            return None
        until, image = entry
        if self._clock.monotonic() >= until:
            del self._known[name]
            return None
        return image

    def put(self, name: str, image: Image) -> None:
        self._known[name] = (self._clock.monotonic() + self._seconds, image)
        self._known.move_to_end(name)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)

    def forget(self, name: str) -> None:
        self._known.pop(name, None)
