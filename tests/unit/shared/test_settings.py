"""Settings: defaults < file < environment < flags, and errors that name where a value came from."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from controlplane.settings import ServerSettings
from shared import settings
from shared.settings import SettingsError, setting


@dataclass(frozen=True)
class Group:
    data_dir: Path = setting(Path("/d"), "Where.")
    count: int = setting(1, "How many.")
    ratio: float = setting(0.5, "How much.")
    labels: dict[str, str] = setting({}, "Which.")
    quiet: bool = setting(False, "Whether.")


def load(tmp_path, text=None, environ=None, flags=None):
    file = None
    if text is not None:
        file = tmp_path / "config.yaml"
        file.write_text(text)
    return settings.load("test", Group, file=file, environ=environ or {}, flags=flags or {})


def test_defaults(tmp_path):
    assert load(tmp_path) == Group()


def test_file_environment_and_flags_win_in_that_order(tmp_path):
    text = "test: {count: 2, ratio: 2, data-dir: /file}\nagent: {anything: 1}\n"
    environ = {"LONGBOAT_TEST_COUNT": "3", "LONGBOAT_TEST_RATIO": "3"}
    assert load(tmp_path, text, environ, {"count": "4", "ratio": None}) == Group(Path("/file"), 4, 3.0)


@pytest.mark.parametrize(
    ("value", "expected"), [("a=b", {"a": "b"}), ("a=b,c=", {"a": "b", "c": ""}), ("", {})], ids=str
)
def test_pairs(tmp_path, value, expected):
    assert load(tmp_path, flags={"labels": value}).labels == expected


@pytest.mark.parametrize(
    ("text", "environ", "flags", "message"),
    [
        ("test: {cuont: 2}", {}, {}, "test.cuont is not a setting; there are: count"),
        ("test: 3", {}, {}, "test must be a mapping"),
        ("test: {count: x}", {}, {}, "test.count: 'x' is not a whole number"),
        ("a: [", {}, {}, "invalid YAML"),
        (None, {"LONGBOAT_TEST_COUNT": "many"}, {}, "LONGBOAT_TEST_COUNT: 'many' is not a whole number"),
        (None, {}, {"labels": "x"}, "--labels: 'x' is not key=value,... ('x' has no '=')"),
        (None, {}, {"quiet": "perhaps"}, "--quiet: 'perhaps' is not true or false"),
    ],
    ids=["unknown key", "not a mapping", "file type", "bad yaml", "environment", "pairs", "boolean"],
)
def test_a_bad_value_names_its_place(tmp_path, text, environ, flags, message):
    with pytest.raises(SettingsError) as error:
        load(tmp_path, text, environ, flags)
    assert message in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        settings.load("test", Group, file=tmp_path / "no.yaml", environ={}, flags={})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("listen", "6443", "--listen: '6443' is not HOST:PORT"),
        ("advertise", "host:port", "--advertise"),
        ("cluster_cidr", "10.42.0.1/16", "--cluster-cidr"),
        ("cluster_cidr", "10.42.0.0/30", "no room for one node"),
        ("store", "mysql", "--store"),
        ("heartbeat_interval", 0.0, "must be above 0"),
        ("log_level", "loud", "--log-level"),
    ],
)
def test_the_server_refuses(name, value, message):
    with pytest.raises(SettingsError) as error:
        ServerSettings(**{name: value})
    assert message in str(error.value)
