"""Content types and codings: what a client accepts and what it sent.

After k8s.io/apiserver/pkg/endpoints/handlers/negotiation. JSON and YAML are spoken, and objects as Table or as
PartialObjectMetadata; protobuf is understood in bodies only, CBOR not at all, so an Accept list falls through to its
JSON. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


@lru_cache(maxsize=64)
def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header takes gzip (RFC 9110, 12.5.3): by its name, else by ``*``, with a weight above
    zero. Without a header nothing is compressed, as in Kubernetes."""
    weights = {coding: quality for quality, coding, _ in _weighted(header)}
    named = [weights[coding] for coding in ("gzip", "x-gzip") if coding in weights]
    return max(named or [weights.get("*", 0.0)]) > 0


def _ranked(header: str) -> list[tuple[str, dict[str, str]]]:
    """Media types with their parameters, best first."""
    found = [each for each in _weighted(header) if each[0] > 0]
    found.sort(key=lambda item: -item[0])
    return [(media_type, parameters) for _, media_type, parameters in found]


def _weighted(header: str) -> Iterator[tuple[float, str, dict[str, str]]]:
    """The weight, value and parameters of each element; a weight that is none counts as zero."""
    for part in header.split(","):
        value, *rest = (piece.strip() for piece in part.split(";"))
        pairs = (piece.split("=", 1) for piece in rest if "=" in piece)
        parameters = {name.strip().lower(): text.strip() for name, text in pairs}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if value:
            yield quality, value.lower(), parameters


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
