"""How many puts a second etcd takes on this machine now: the yardstick that other machines' figures are scaled by.

    python bench/etcd.py [--seconds 5] [--writers 64] [--dir DIR]

Debian's etcd-server on loopback, one member, its data in a new directory of the same disk as the stores that it is
measured beside; puts of 1 KiB, each durable before it is answered. The client speaks gRPC with requests encoded by
hand, since etcd's JSON gateway gives about half of that. Raises ``Missing`` where etcd or grpcio is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REFERENCE = 10_000.0
"""Puts a second that etcd gave, to the same load, where Kubernetes' figures were measured."""

PUT = "/etcdserverpb.KV/Put"
START_SECONDS = 15.0


class Missing(Exception):
    """What the measurement needs is not installed; the message says how to."""


def measure(seconds: float = 5.0, writers: int = 64, size: int = 1024, directory: Path | None = None) -> float:
    """Puts a second of ``writers`` at a time. Raises Missing."""
    binary = shutil.which("etcd")
    if binary is None:
        raise Missing("etcd is not installed: apt-get install etcd-server (and stop the service that it starts)")
    try:
        import grpc  # noqa: F401
    except ImportError as error:
        raise Missing("grpcio is not installed: pip install 'longboat[bench]'") from error
    with tempfile.TemporaryDirectory(dir=directory, prefix=".bench-etcd-") as scratch:
        client, peer = (f"http://127.0.0.1:{port}" for port in _free_ports())
        command = [
            binary, "--data-dir", f"{scratch}/data", "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
            "--logger", "zap", "--log-outputs", "stderr",
        ]  # fmt: skip
        with Path(scratch, "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            return asyncio.run(_load(client.removeprefix("http://"), seconds, writers, size))
        except BaseException:
            sys.stderr.write(Path(scratch, "log").read_text(errors="replace")[-2000:])
            raise
        finally:
            process.terminate()
            process.wait(10)


async def _load(address: str, seconds: float, writers: int, size: int) -> float:
    import grpc
    import grpc.aio

    numbers = itertools.count()
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), START_SECONDS)
        put = channel.unary_unary(PUT)  # no serializers: bytes go in and come out
        value = b"x" * size
        # A leader is elected a second or so after the port answers.
        await asyncio.wait_for(put(_put_request(b"/registry/first", value), wait_for_ready=True), START_SECONDS)
        end = time.perf_counter() + seconds

        async def writer() -> int:
            done = 0
            while time.perf_counter() < end:
                await put(_put_request(b"/registry/configmaps/load/%d" % next(numbers), value))
                done += 1
            return done

        began = time.perf_counter()
        counts = await asyncio.gather(*(writer() for _ in range(writers)))
        return sum(counts) / (time.perf_counter() - began)


def _put_request(key: bytes, value: bytes) -> bytes:
    """etcdserverpb.PutRequest: key is field 1, value field 2."""
    return b"\x0a" + _varint(len(key)) + key + b"\x12" + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _free_ports() -> tuple[int, int]:
    import socket

    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return int(first.getsockname()[1]), int(second.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--dir", type=Path, help="where its data is put; the system's temporary directory if not given")
    arguments = parser.parse_args()
    try:
        rate = measure(arguments.seconds, arguments.writers, directory=arguments.dir)
    except Missing as error:
        raise SystemExit(str(error)) from error
    print(f"etcd: {rate:,.0f} puts/s of 1 KiB, {arguments.writers} writers; {rate / REFERENCE:.2f} of the reference")


if __name__ == "__main__":
    main()
