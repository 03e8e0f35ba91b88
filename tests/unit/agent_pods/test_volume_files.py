"""Files of volumes: swapped whole, within their volume, with the kubelet's texts."""

from base64 import b64encode
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pods.checkpoint import Checkpoints
from agent.pods.volumes.atomic import File, write_payload
from agent.pods.volumes.base import PodPaths, VolumeFailure
from agent.pods.volumes.host_files import hosts_text, resolv_conf_text
from agent.pods.volumes.host_path import prepare_host_path
from agent.pods.volumes.payload import config_map_payload, secret_payload
from shared.api.core import ConfigMap, Secret
from shared.api.pod import ConfigMapVolumeSource, HostPathVolumeSource, KeyToPath, Pod, SecretVolumeSource


def test_files_appear_through_links_and_change_together(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    assert write_payload(volume, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o400)})
    assert (volume / "a").read_bytes() == b"1"
    assert (volume / "d/b").read_bytes() == b"2"
    assert (volume / "d/b").stat().st_mode & 0o777 == 0o400
    assert (volume / "a").readlink() == Path("..data/a")
    first = (volume / "..data").readlink()
    assert not write_payload(volume, {"a": File(b"1", 0o644), "d/b": File(b"2", 0o400)})
    assert (volume / "..data").readlink() == first, "nothing new, nothing touched"
    assert write_payload(volume, {"a": File(b"3", 0o644)})
    assert sorted(p.name for p in volume.iterdir() if not p.name.startswith("..")) == ["a"]
    assert (volume / "a").read_bytes() == b"3"
    assert not (volume / first).exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "..data", ""])
def test_no_file_leaves_its_volume(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="invalid path"):
        write_payload(tmp_path / "v", {path: File(b"", 0o644)})


NAMES = st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4})?", fullmatch=True)


@given(payloads=st.lists(st.dictionaries(NAMES, st.binary(max_size=8), max_size=4), max_size=4))
def test_a_volume_holds_exactly_the_last_payload(
    payloads: list[dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    volume = tmp_path_factory.mktemp("volumes") / "v"
    for content in payloads:
        clash = {path for path in content if any(other.startswith(path + "/") for other in content)}
        content = {path: data for path, data in content.items() if path not in clash}
        write_payload(volume, {path: File(data, 0o644) for path, data in content.items()})
        found = {
            f"{top.name}/{p.relative_to(top)}" if top.is_dir() else top.name: p.read_bytes()
            for top in volume.iterdir()
            if not top.name.startswith("..")
            for p in ([top] if top.is_file() else [q for q in top.rglob("*") if q.is_file()])
        }
        assert found == content


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_payloads() -> None:
    source = ConfigMapVolumeSource(name="x", items=(KeyToPath(key="a", path="p/q", mode=0o400),))
    found = ConfigMap(data={"a": "1", "b": "2"}, binary_data={"c": b64("3")})
    assert config_map_payload(source, found) == {"p/q": File(b"1", 0o400)}
    whole = ConfigMapVolumeSource(name="x", default_mode=0o600)
    assert config_map_payload(whole, found) == {k: File(v, 0o600) for k, v in {"a": b"1", "b": b"2", "c": b"3"}.items()}
    assert secret_payload(SecretVolumeSource(secret_name="x"), Secret(data={"s": b64("t")})) == {"s": File(b"t", 0o644)}


@pytest.mark.parametrize("optional", [True, False])
def test_missing_objects_and_keys(optional: bool) -> None:
    items = (KeyToPath(key="none", path="p"),)
    cases = [
        (
            lambda: config_map_payload(ConfigMapVolumeSource(name="x", optional=optional), None),
            'configmap "x" not found',
        ),
        (lambda: secret_payload(SecretVolumeSource(secret_name="x", optional=optional), None), 'secret "x" not found'),
        (
            lambda: config_map_payload(ConfigMapVolumeSource(name="x", items=items, optional=optional), ConfigMap()),
            "configmap references non-existent config key: none",
        ),
        (
            lambda: secret_payload(SecretVolumeSource(secret_name="x", items=items, optional=optional), Secret()),
            "references non-existent secret key: none",
        ),
    ]
    for make, message in cases:
        if optional:
            assert make() == {}
        else:
            with pytest.raises(VolumeFailure) as raised:
                make()
            assert str(raised.value) == message


@pytest.mark.parametrize(
    ("kind", "what", "works"),
    [
        ("", "nothing", True),
        ("DirectoryOrCreate", "nothing", True),
        ("Directory", "nothing", False),
        ("Directory", "file", False),
        ("Directory", "directory", True),
        ("FileOrCreate", "nothing", True),
        ("File", "nothing", False),
        ("File", "file", True),
        ("Socket", "file", False),
        ("Teapot", "file", False),
    ],
)
def test_host_path_types(tmp_path: Path, kind: str, what: str, works: bool) -> None:
    path = tmp_path / "x"
    if what == "file":
        path.touch()
    elif what == "directory":
        path.mkdir()
    source = HostPathVolumeSource(path=str(path), type=kind)
    if works:
        assert prepare_host_path(source).exists()
    else:
        with pytest.raises(VolumeFailure):
            prepare_host_path(source)


def test_hosts_and_resolv_conf() -> None:
    assert hosts_text("10.0.0.5", "p").splitlines()[-1] == "10.0.0.5\tp"
    stub, upstream = "nameserver 127.0.0.53\noptions edns0\n", "nameserver 192.0.2.1\n"
    assert resolv_conf_text(stub, upstream) == upstream
    assert resolv_conf_text(stub, "") == stub
    assert resolv_conf_text("nameserver 192.0.2.9\n", upstream) == "nameserver 192.0.2.9\n"


@pytest.mark.parametrize("uid", ["", ".", "..", "a/b", "../../etc"])
def test_a_uid_is_one_path_component(tmp_path: Path, uid: str) -> None:
    with pytest.raises(ValueError):
        PodPaths(tmp_path, uid)


async def test_local_copies_survive_and_broken_ones_are_left_alone(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    pod = msgspec.convert({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"nodeName": "x"}}, Pod)
    await checkpoints.save(pod)
    assert (tmp_path / "pods/u/pod.json").stat().st_mode & 0o777 == 0o600
    broken = tmp_path / "pods/v"
    broken.mkdir()
    (broken / "pod.json").write_text("{")
    assert await checkpoints.load() == [pod]
