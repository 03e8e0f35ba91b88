"""Settings: frozen dataclass groups, filled from defaults < file < environment < flags.

A group is a frozen dataclass whose fields are made with ``setting``. Nothing reads settings from a global: the
command line loads a group once and passes it on. ``docs/settings.md`` lists every field; a test compares them.

The file is YAML with one mapping a group (``server:``, ``agent:``), keys as the flags without dashes in front.
The environment variable of ``server``'s ``data-dir`` is ``LONGBOAT_SERVER_DATA_DIR``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from shared import codec

G = TypeVar("G")


GROUPS = ("agent", "server")
"""Sections of the file: one file may serve all commands."""


class SettingsError(Exception):
    """A setting cannot be used; the message names where it was set and what would be right."""


def setting(default: Any, help: str, *, metavar: str = "", unit: str = "") -> Any:
    """A field of a settings group: its default, one sentence of help, and the unit of a number."""
    metadata = {"help": help, "metavar": metavar, "unit": unit}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Field:
    """One setting as the command line and the documentation see it."""

    group: str
    name: str
    type: Any
    default: Any
    help: str
    metavar: str
    unit: str

    @property
    def flag(self) -> str:
        return "--" + self.key

    @property
    def key(self) -> str:
        return self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return f"LONGBOAT_{self.group.upper()}_{self.name.upper()}"


def fields(group: str, cls: type[Any]) -> list[Field]:
    """The settings of a group, in the order of their declaration."""
    hints = get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        default = field.default if field.default is not MISSING else None
        if field.default_factory is not MISSING:
            default = field.default_factory()
        meta = field.metadata
        found.append(
            Field(group, field.name, hints[field.name], default, meta.get("help", ""), meta.get("metavar", ""),
                  meta.get("unit", ""))
        )  # fmt: skip
    return found


def load(
    group: str,
    cls: type[G],
    *,
    file: Path | None = None,
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
) -> G:
    """Fill ``cls``. ``flags`` holds what was given on the command line (None: not given).

    Raises SettingsError for an unreadable file, an unknown key, section or variable, or a value of the wrong type.
    """
    known = {field.name: field for field in fields(group, cls)}
    variables = {field.variable for field in known.values()}
    for variable in sorted(environ):
        if variable.startswith(f"LONGBOAT_{group.upper()}_") and variable not in variables:
            raise SettingsError(f"{variable} is not a setting; there are: {', '.join(sorted(variables))}")
    values: dict[str, Any] = {}
    for key, value in _section(file, group).items():
        name = key.replace("-", "_")
        if name not in known:
            near = ", ".join(sorted(field.key for field in known.values()))
            raise SettingsError(f"{file}: {group}.{key} is not a setting; there are: {near}")
        values[name] = _convert(value, known[name], f"{file}: {group}.{key}")
    for field in known.values():
        if field.variable in environ:
            values[field.name] = _convert(environ[field.variable], field, field.variable)
        if flags.get(field.name) is not None:
            values[field.name] = _convert(flags[field.name], field, field.flag)
    return cls(**values)


def check_logging(level: str, format: str) -> None:
    """What every command's ``--log-level`` and ``--log-format`` may say. Raises SettingsError."""
    if level not in ("debug", "info", "warning", "error"):
        raise SettingsError(f"--log-level: {level!r} is none of debug, info, warning, error")
    if format not in ("plain", "json"):
        raise SettingsError(f"--log-format: {format!r} is neither plain nor json")


def _section(file: Path | None, group: str) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        tree = codec.decode_yaml(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except codec.CodecError as error:
        raise SettingsError(f"{file}: {error}") from error
    tree = tree or {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{file}: must be a mapping of sections; there are: {', '.join(GROUPS)}")
    for name in tree:
        if name not in (*GROUPS, group):
            raise SettingsError(f"{file}: {name} is not a section; there are: {', '.join(GROUPS)}")
    section = tree.get(group) or {}
    if not isinstance(section, dict):
        raise SettingsError(f"{file}: {group} must be a mapping of settings")
    return section


def _convert(value: Any, field: Field, where: str) -> Any:
    kinds = [kind for kind in (getattr(field.type, "__args__", None) or (field.type,)) if kind is not type(None)]
    kind = dict if getattr(field.type, "__origin__", None) is dict else kinds[0]
    try:
        if kind is dict:
            return _pairs(value)
        if kind is bool:
            return _boolean(value)
        if kind in (int, float):
            if isinstance(value, bool):
                raise ValueError("a number is needed")
            return kind(value)
        if kind is Path:
            return Path(str(value))
        if not isinstance(value, str | int | float):
            raise ValueError("text is needed")
        return str(value)
    except ValueError as error:
        wanted = {int: "a whole number", float: "a number", bool: "true or false", dict: "key=value,..."}
        raise SettingsError(f"{where}: {value!r} is not {wanted.get(kind, 'a valid value')} ({error})") from error


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    try:
        return words[str(value).lower()]
    except KeyError:
        raise ValueError("neither true nor false") from None


def _pairs(value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        return {str(key): str(item) for key, item in value.items()}
    pairs = {}
    for part in str(value).split(","):
        if not part.strip():
            continue
        key, separator, item = part.strip().partition("=")
        if not separator or not key:
            raise ValueError(f"{part.strip()!r} has no '='")
        pairs[key] = item
    return pairs
