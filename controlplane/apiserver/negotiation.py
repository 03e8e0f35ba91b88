"""Content types: what a client accepts and what it sent.

After k8s.io/apiserver/pkg/endpoints/handlers/negotiation. JSON and YAML are spoken, and objects as Table or as
PartialObjectMetadata; protobuf is understood in bodies only, CBOR not at all, so an Accept list falls through to its
JSON. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from controlplane.apiserver.protobuf import MEDIA_TYPE as PROTOBUF_TYPE
from shared.api.errors import NotAcceptable, UnsupportedMediaType

JSON_TYPE, YAML_TYPE = "application/json", "application/yaml"
_OFFERS = {
    "application/json": JSON_TYPE, "application/*": JSON_TYPE, "*/*": JSON_TYPE, "application/yaml": YAML_TYPE,
    "application/x-yaml": YAML_TYPE, "text/yaml": YAML_TYPE,
}  # fmt: skip
_SHAPES = frozenset(("Table", "PartialObjectMetadata", "PartialObjectMetadataList"))
_BODY_TYPES = {
    "": JSON_TYPE, "application/json": JSON_TYPE, "application/yaml": YAML_TYPE, "text/yaml": YAML_TYPE,
    "application/octet-stream": JSON_TYPE, "application/x-www-form-urlencoded": JSON_TYPE, "text/plain": JSON_TYPE,
    PROTOBUF_TYPE: PROTOBUF_TYPE,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Format:
    """How to answer. ``shape`` is empty for the object itself, or Table or PartialObjectMetadata(List)."""

    media_type: str = JSON_TYPE
    shape: str = ""
    version: str = "v1"

    @property
    def content_type(self) -> str:
        if not self.shape:
            return self.media_type
        return f"{self.media_type};as={self.shape};v={self.version};g=meta.k8s.io"


PLAIN = Format()


@lru_cache(maxsize=256)
def accept(header: str) -> Format:
    """The first format of an Accept header that is spoken here, by its q values. Raises NotAcceptable."""
    if not header:
        return PLAIN
    for media_type, parameters in _ranked(header):
        offer = _OFFERS.get(media_type)
        if offer is None:
            continue
        shape = parameters.get("as", "")
        if not shape:
            return Format(offer)
        version = parameters.get("v", "v1")
        if shape in _SHAPES and parameters.get("g") == "meta.k8s.io" and version in ("v1", "v1beta1"):
            return Format(offer, shape, version)
    raise NotAcceptable(f"only the following media types are accepted: {JSON_TYPE}, {YAML_TYPE}")


@lru_cache(maxsize=64)
def accepts_discovery(header: str) -> bool:
    """Whether aggregated discovery (apidiscovery.k8s.io/v2) comes before plain JSON in an Accept header."""
    for media_type, parameters in _ranked(header):
        if _OFFERS.get(media_type) is None:
            continue
        if not parameters.get("as"):
            return False
        if (parameters["as"], parameters.get("g"), parameters.get("v")) == (
            "APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2",
        ):  # fmt: skip
            return True
    return False


def first_of(header: str, offers: Mapping[str, str]) -> str | None:
    """What answers the first media type of an Accept header that is among ``offers`` (asked: answered, the best first);
    None where none is."""
    for media_type, _ in _ranked(header or "*/*"):
        family = media_type.removesuffix("*") if media_type.endswith("/*") else ""
        for asked, answered in offers.items():
            if media_type in (asked, "*/*") or (family and asked.startswith(family)):
                return answered
    return None


def _ranked(header: str) -> list[tuple[str, dict[str, str]]]:
    """Media types with their parameters, best first."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for part in header.split(","):
        media_type, *rest = (piece.strip() for piece in part.split(";"))
        parameters = dict(piece.split("=", 1) for piece in rest if "=" in piece)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if media_type and quality > 0:
            found.append((quality, media_type.lower(), parameters))
    found.sort(key=lambda item: -item[0])
    return [(media_type, parameters) for _, media_type, parameters in found]


def bare(content_type: str) -> str:
    """A Content-Type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def body_type(content_type: str) -> str:
    """JSON, YAML or protobuf, from the Content-Type of a body that holds an object; some clients send none or a wrong
    one where they mean JSON. Raises UnsupportedMediaType."""
    found = _BODY_TYPES.get(bare(content_type))
    if found is None:
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {JSON_TYPE}, {YAML_TYPE}"
        )
    return found
