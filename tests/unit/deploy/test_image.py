"""The image that samples and tests use, as an archive."""

import io
import json
import tarfile

import pytest

from deploy.samples import image


def test_the_archive_is_a_loadable_image(tmp_path):
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"\x7fELF static")
    first = image.archive("t/x:1", files={"www/index.html": b"hi"}, command=["/bin/true"], busybox=busybox)
    assert first == image.archive("t/x:1", files={"www/index.html": b"hi"}, command=["/bin/true"], busybox=busybox)
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))[0]
        config = json.load(tar.extractfile(manifest["Config"]))
        assert manifest["RepoTags"] == ["t/x:1"]
        assert config["config"]["Cmd"] == ["/bin/true"]
        with tarfile.open(fileobj=tar.extractfile("layer.tar")) as layer:
            assert layer.extractfile("www/index.html").read() == b"hi"
            assert layer.getmember("bin/sh").linkname == "busybox"


def test_without_busybox_it_says_what_to_install(tmp_path):
    with pytest.raises(image.ImageError, match="busybox-static"):
        image.archive("t/x:1", busybox=tmp_path / "none")


def test_a_dynamic_busybox_is_refused(tmp_path):
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"\x7fELF /lib64/ld-linux-x86-64.so.2")
    with pytest.raises(image.ImageError, match="not statically linked"):
        image.archive("t/x:1", busybox=busybox)
