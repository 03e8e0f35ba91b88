"""The image of a sandbox: one static executable of some hundred bytes that only waits, assembled here by hand.

It needs no registry and no compiler: the agent imports it into the engine when it is missing. Process 1 of a PID
namespace ignores signals that it has no handler for, so the program blocks SIGTERM and SIGINT and waits for them
with rt_sigtimedwait: blocked signals stay pending even for process 1 (signal(7); ``sig_ignored`` in Linux'
kernel/signal.c). It ends with code 0 at the first of them. It starts nothing, but where the containers of a pod share
its processes, their orphans become its children: it ignores SIGCHLD, so that the kernel reaps them (wait(2)).

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile

REPOSITORY = "longboat/pause"
PATH = "/pause"

_SIGINT, _SIGTERM = 2, 15
_SIGCHLD = 17
_IGNORE = struct.pack("<4Q", 1, 0, 0, 0)
"""``struct sigaction`` of the kernel with SIG_IGN."""
_SIGNALS = struct.pack("<Q", 1 << (_SIGTERM - 1) | 1 << (_SIGINT - 1))
_ADDRESS = 0x400000
_HEADERS = 64 + 56
_MACHINES = {"amd64": 62, "arm64": 183}


class UnknownArchitecture(Exception):
    """There is no pause program for this processor; the message names it."""


def _amd64() -> bytes:
    def lea(register: bytes, at: int, data: int = 0) -> bytes:
        """``lea register, [rip + signals + data]`` for an instruction that ends at ``at + 7``."""
        return register + struct.pack("<i", length + data - (at + 7))

    length = 88
    block = b"\xbf" + struct.pack("<I", _SIGCHLD)  # mov edi
    block += lea(b"\x48\x8d\x35", len(block), len(_SIGNALS))  # lea rsi, [ignore]
    block += b"\x31\xd2"  # xor edx, edx
    block += b"\x41\xba\x08\x00\x00\x00"  # mov r10d, 8
    block += b"\xb8\x0d\x00\x00\x00\x0f\x05"  # rt_sigaction
    block += b"\x31\xff"  # xor edi, edi: SIG_BLOCK
    block += lea(b"\x48\x8d\x35", len(block))  # lea rsi, [signals]
    block += b"\x31\xd2"  # xor edx, edx
    block += b"\x41\xba\x08\x00\x00\x00"  # mov r10d, 8
    block += b"\xb8\x0e\x00\x00\x00\x0f\x05"  # rt_sigprocmask
    again = len(block)
    code = block + lea(b"\x48\x8d\x3d", again)  # lea rdi, [signals]
    code += b"\x31\xf6\x31\xd2"  # no info, no timeout
    code += b"\x41\xba\x08\x00\x00\x00"
    code += b"\xb8\x80\x00\x00\x00\x0f\x05"  # rt_sigtimedwait
    code += b"\x85\xc0"  # test eax, eax: interrupted, as by SIGSTOP and SIGCONT?
    code += b"\x78" + struct.pack("b", again - (len(code) + 2))  # js again
    code += b"\x31\xff\xb8\xe7\x00\x00\x00\x0f\x05"  # exit_group(0)
    return code.ljust(length, b"\xcc") + _SIGNALS + _IGNORE


def _arm64() -> bytes:
    def mov(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def adr(register: int, index: int, data: int = 0) -> int:
        """Address of the signal set, or words behind it, for the instruction number ``index``."""
        return 0x10000000 | (length + data - index) << 5 | register

    svc = 0xD4000001
    length = 22
    again = 12
    code = [mov(0, _SIGCHLD), adr(1, 1, len(_SIGNALS) // 4), mov(2, 0), mov(3, 8), mov(8, 134), svc]  # rt_sigaction
    code += [mov(0, 0), adr(1, 7), mov(2, 0), mov(3, 8), mov(8, 135), svc]  # rt_sigprocmask
    code += [adr(0, 12), mov(1, 0), mov(2, 0), mov(3, 8), mov(8, 137), svc]  # rt_sigtimedwait
    code += [0xB7F80000 | ((again - len(code)) & 0x3FFF) << 5]  # tbnz x0, #63, again
    code += [mov(0, 0), mov(8, 94), svc]  # exit_group(0)
    return struct.pack(f"<{length}I", *code) + _SIGNALS + _IGNORE


def executable(architecture: str) -> bytes:
    """The program as an ELF file for ``amd64`` or ``arm64`` (Go's names). Raises UnknownArchitecture."""
    programs = {"amd64": _amd64, "arm64": _arm64}
    if architecture not in programs:
        raise UnknownArchitecture(f"sandboxes run on {' and '.join(programs)}, not on {architecture}")
    code = programs[architecture]()
    size = _HEADERS + len(code)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH", 2, _MACHINES[architecture], 1, _ADDRESS + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    readable_executable = 5
    segment = struct.pack("<IIQQQQQQ", 1, readable_executable, 0, _ADDRESS, _ADDRESS, size, size, 0x10000)
    return header + segment + code


def root_file_system(architecture: str) -> bytes:
    """A tar that holds only the program; the same bytes each time. Raises UnknownArchitecture."""
    program = executable(architecture)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(PATH.lstrip("/"))
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
    return buffer.getvalue()


def image_tag(architecture: str) -> str:
    """The image's tag: part of the program's digest, so that a new program is a new image."""
    return hashlib.sha256(executable(architecture)).hexdigest()[:12]


def image_name(architecture: str) -> str:
    """``longboat/pause:<tag>``. Raises UnknownArchitecture."""
    return f"{REPOSITORY}:{image_tag(architecture)}"
