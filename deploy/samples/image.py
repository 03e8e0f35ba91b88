"""A small image made on the spot, for samples and tests: busybox and a few files, as a ``docker load`` archive.

No registry and no running engine is needed to make it, and the same input gives the same bytes. The busybox is
the static one of the distribution (Debian's package busybox-static).
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "cat", "date", "dd", "echo", "env", "false", "grep", "head", "hostname", "httpd", "id", "ip", "kill", "ls",
    "mkdir", "nc", "ping", "ps", "rm", "sed", "seq", "sh", "sleep", "sort", "stat", "tail", "test", "touch", "tr",
    "true", "wc", "wget", "yes",
)  # fmt: skip

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class ImageError(Exception):
    """The image cannot be made; the message says what is missing."""


def archive(
    tag: str,
    *,
    files: Mapping[str, bytes] | None = None,
    command: Sequence[str] = ("/bin/sh",),
    busybox: Path = BUSYBOX,
) -> bytes:
    """The tar that ``docker load`` takes, for an image named ``tag``. Raises ImageError."""
    try:
        binary = busybox.read_bytes()
    except OSError as error:
        raise ImageError(f"{busybox}: {error.strerror}; install the package busybox-static") from error
    if b"/lib64/ld-linux" in binary[:4096] or b"/lib/ld-linux" in binary[:4096]:
        raise ImageError(f"{busybox} is not statically linked; install the package busybox-static")
    layer = _layer(binary, files or {})
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Cmd": list(command), "Env": ["PATH=/bin"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        },
        sort_keys=True,
    ).encode()
    name = hashlib.sha256(config).hexdigest()
    manifest = json.dumps([{"Config": f"{name}.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, content in ((f"{name}.json", config), ("layer.tar", layer), ("manifest.json", manifest)):
            _add(tar, path, content)
    return out.getvalue()


def _layer(busybox: bytes, files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        folders = {"bin", "etc", "tmp", "proc", "sys", "dev"}
        for path in files:
            folders.update(str(parent) for parent in Path(path).parents if str(parent) != ".")
        for folder in sorted(folders):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(info)
        _add(tar, "bin/busybox", busybox, 0o755)
        for applet in APPLETS:
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
        for path, content in sorted(files.items()):
            _add(tar, path, content)
    return out.getvalue()


def _add(tar: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(path)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))
