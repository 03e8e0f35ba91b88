"""Makes ``fields.json``: the numbers of Kubernetes' protobuf fields, read off the type data of a kubectl binary.

Run by hand when a newer Kubernetes is to be followed:
``python -m controlplane.apiserver.protobuf.extract /path/to/kubectl``. A Go binary describes its own structs
(reflection needs it), tags included, so the JSON name, the field number, ``omitempty`` and whether a field is a
pointer all come from one place. Never imported by the server.

For each message the table has rows of [number, JSON name, type, flags]. Types: ``string``, ``int``, ``bool``,
``float``, ``bytes``, the name of a message, or one that ``decode`` knows by name. Flags: ``*`` pointer,
``[`` repeated, ``{`` map of strings to it, ``o`` omitempty, ``<`` inline.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from pathlib import Path

GROUPS = {
    "core": "", "apps": "apps", "batch": "batch", "autoscaling": "autoscaling", "policy": "policy",
    "rbac": "rbac.authorization.k8s.io", "networking": "networking.k8s.io", "discovery": "discovery.k8s.io",
    "certificates": "certificates.k8s.io", "coordination": "coordination.k8s.io", "storage": "storage.k8s.io",
    "scheduling": "scheduling.k8s.io", "authentication": "authentication.k8s.io",
    "authorization": "authorization.k8s.io", "events": "events.k8s.io",
}  # fmt: skip
"""Packages of k8s.io/api whose v1 (and autoscaling's v2) kinds are in the table, with their API groups."""

_SPECIAL = {
    "k8s.io/apimachinery/pkg/api/resource.Quantity": "quantity",
    "k8s.io/apimachinery/pkg/apis/meta/v1.Time": "time",
    "k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime": "microtime",
    "k8s.io/apimachinery/pkg/util/intstr.IntOrString": "intstr",
    "k8s.io/apimachinery/pkg/runtime.RawExtension": "raw",
    "k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1": "raw",
}
_BOOL, _FLOATS, _MAP, _POINTER, _SLICE, _STRING, _STRUCT = 1, (13, 14), 21, 22, 23, 24, 25
_NAMED, _UNCOMMON, _EXTRA_STAR = 4, 1, 2


class Binary:
    """A Go ELF binary's types (internal/abi/type.go)."""

    def __init__(self, path: Path) -> None:
        self._data = data = path.read_bytes()
        start, count, names = (
            struct.unpack_from(f, data, at)[0] for f, at in (("<Q", 0x28), ("<H", 0x3C), ("<H", 0x3E))
        )
        headers = [struct.unpack_from("<IIQQQQIIQQ", data, start + 64 * index) for index in range(count)]
        table = headers[names][4]
        sections = {data[table + h[0] : data.index(b"\0", table + h[0])].decode(): h for h in headers}
        self._loaded = [(h[3], h[4], h[5]) for h in headers if h[3] and h[1] != 8]
        self._base = sections[".rodata"][3]
        links = sections[".typelink"]
        offsets = struct.unpack_from(f"<{links[5] // 4}i", data, links[4])
        self.types = [self._base + offset for offset in offsets]

    def _at(self, address: int) -> int:
        for start, offset, size in self._loaded:
            if start <= address < start + size:
                return int(address - start + offset)
        raise ValueError(f"no such address: {address:#x}")

    def number(self, address: int, offset: int, format_: str = "<Q") -> int:
        found: int = struct.unpack_from(format_, self._data, self._at(address) + offset)[0]
        return found

    def _name(self, address: int) -> tuple[str, str]:
        """A name and its struct tag."""
        at = self._at(address)
        text, after = self._text(at + 1)
        return text, self._text(after)[0] if self._data[at] & 2 else ""

    def _text(self, at: int) -> tuple[str, int]:
        length = shift = 0
        while True:
            byte = self._data[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return self._data[at : at + length].decode("utf-8", "replace"), at + length

    def kind(self, address: int) -> int:
        return self._data[self._at(address) + 23] & 31

    def flags(self, address: int) -> int:
        return self._data[self._at(address) + 20]

    def full_name(self, address: int) -> str:
        """Package path and name of a named struct or slice; empty for any other type."""
        if self.kind(address) not in (_STRUCT, _SLICE):
            return ""
        if not self.flags(address) & _NAMED or not self.flags(address) & _UNCOMMON:
            return ""
        text = self._name(self._base + self.number(address, 40, "<i"))[0]
        text = text[1:] if self.flags(address) & _EXTRA_STAR else text
        package = self.number(address, 80 if self.kind(address) == _STRUCT else 56, "<i")
        return f"{self._name(self._base + package)[0]}.{text.rpartition('.')[2]}" if package else ""

    def fields(self, address: int) -> list[tuple[str, int]]:
        """(struct tag, type) of each field."""
        first, count = self.number(address, 56), self.number(address, 64)
        rows = (first + 24 * index for index in range(count))
        return [(self._name(self.number(row, 0))[1], self.number(row, 8)) for row in rows]


def extract(binary: Binary) -> dict[str, object]:
    """The table: ``kinds`` names the message of "apiVersion/Kind", ``messages`` has their rows."""
    roots: dict[str, int] = {}
    for link in binary.types:
        if binary.kind(link) == _POINTER and binary.kind(element := binary.number(link, 48)) == _STRUCT:
            roots[binary.full_name(element)] = element
    messages: dict[str, list[list[object]]] = {}
    kinds: dict[str, str] = {}
    for name, address in roots.items():
        match = re.fullmatch(r"k8s\.io/api/(\w+)/(v1|v2)\.(\w+)", name)
        if not match or match[1] not in GROUPS or (match[2] == "v2" and match[1] != "autoscaling"):
            continue
        tags = [tag for tag, _ in binary.fields(address)]
        has_type_meta = bool(tags) and re.fullmatch(r'json:"(,inline)?"', tags[0]) is not None
        if not has_type_meta or match[3].endswith("List"):
            continue
        group = GROUPS[match[1]]
        kinds[f"{group}/{match[2]}/{match[3]}" if group else f"{match[2]}/{match[3]}"] = _message(
            binary, address, messages
        )
    options = roots["k8s.io/apimachinery/pkg/apis/meta/v1.DeleteOptions"]
    kinds["v1/DeleteOptions"] = _message(binary, options, messages)
    return {"kinds": kinds, "messages": messages}


def _message(binary: Binary, address: int, messages: dict[str, list[list[object]]]) -> str:
    name = binary.full_name(address)
    short = name.removeprefix("k8s.io/api/").replace("k8s.io/apimachinery/pkg/apis/", "")
    if short in messages:
        return short
    rows = messages[short] = []
    for tag, type_ in binary.fields(address):
        wire = re.search(r'protobuf:"[^,]+,(\d+)', tag)
        said = re.search(r'json:"([^"]*)"', tag)
        if not wire or not said:
            continue
        json_name, *options = said[1].split(",")
        flags = ("o" if "omitempty" in options or "omitzero" in options else "") + ("" if json_name else "<")
        found, more = _type(binary, type_, messages)
        rows.append([int(wire[1]), json_name, found, flags + more])
    return short


def _type(binary: Binary, address: int, messages: dict[str, list[list[object]]]) -> tuple[str, str]:
    """The type's name in the table and its flags."""
    kind, name = binary.kind(address), binary.full_name(address)
    if name in _SPECIAL:
        return _SPECIAL[name], ""
    if kind == _POINTER:
        found, flags = _type(binary, binary.number(address, 48), messages)
        return found, f"*{flags}"
    if kind == _SLICE:
        element = binary.number(address, 48)
        if binary.kind(element) == 8:
            return "bytes", ""
        if name.endswith((".ExtraValue", ".Verbs")):
            return "items", ""  # a list that is a message of its own
        found, flags = _type(binary, element, messages)
        return found, f"[{flags}"
    if kind == _MAP:
        found, flags = _type(binary, binary.number(address, 56), messages)
        return found, f"{{{flags}"
    if kind == _STRUCT:
        return _message(binary, address, messages), ""
    if kind == _STRING:
        return "string", ""
    return "bool" if kind == _BOOL else "float" if kind in _FLOATS else "int", ""


if __name__ == "__main__":
    table = extract(Binary(Path(sys.argv[1]).resolve()))
    text = json.dumps(table, sort_keys=True, separators=(",", ":")).replace('],"', '],\n"')
    (Path(__file__).parent / "fields.json").write_text(text + "\n")
