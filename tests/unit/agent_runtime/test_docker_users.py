"""Who the processes of a container are, by configuration and by the kernel's word."""

import os

import pytest

from agent.runtime.base import ProcessUser
from agent.runtime.docker_users import first_user, read_user

ROOT = ProcessUser(0, 0, (0, 1))


@pytest.mark.parametrize(
    ("configured", "added", "process", "expected"),
    [
        ("", [], ROOT, ProcessUser(0, 0, (0, 1))),
        ("", [], None, ProcessUser(0, 0, (0,))),
        ("", [], ProcessUser(70, 70, (70,)), ProcessUser(0, 0, (0,))),
        ("1000:3000", ["4000"], ProcessUser(1000, 3000, (4000, 50000)), ProcessUser(1000, 3000, (3000, 4000, 50000))),
        ("1000:3000", ["4000"], None, ProcessUser(1000, 3000, (3000, 4000))),
        ("1000", [], ProcessUser(1000, 5, ()), ProcessUser(1000, 5, (5,))),
        ("1000", [], None, None),
        ("nobody", [], ProcessUser(99, 99, (99,)), ProcessUser(99, 99, (99,))),
        ("nobody", [], None, None),
    ],
)
def test_the_first_user(
    configured: str, added: list[str], process: ProcessUser | None, expected: ProcessUser | None
) -> None:
    assert first_user(configured, added, process) == expected


def test_the_kernel_tells_of_a_process() -> None:
    assert read_user(os.getpid()) == ProcessUser(os.geteuid(), os.getegid(), tuple(os.getgroups()))
    assert read_user(0) is None
