"""What each program loads, in a fresh interpreter: import weight creeps back, and costs start time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from shared import footprint
with footprint.importing():
    {work}
print(*sorted(sys.modules))
"""


def loaded(work: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(work=work)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def within(modules: set[str], *names: str) -> set[str]:
    """Those of ``modules`` that are of one of the packages ``names``."""
    return {module for module in modules if any(module == name or module.startswith(f"{name}.") for name in names)}


def test_help_of_the_command_loads_no_part_of_the_system() -> None:
    work = "from deploy import cli\n    cli.cli(['--help'], standalone_mode=False)"
    heavy = (
        "asyncio",
        "ssl",
        "aiohttp",
        "numpy",
        "cryptography",
        "yaml",
        "docker",
        "asyncssh",
        "rich",
        "shared.client",
    )
    assert within(loaded(work), *heavy) == set()


def test_a_server_needs_no_numpy_and_no_scheduler_until_it_is_ready() -> None:
    modules = loaded("import deploy.cli, controlplane.server")
    assert within(modules, "numpy", "controlplane.scheduler", "controlplane.controllers.table") == set()
    assert within(modules, "agent", "docker", "asyncssh", "rich") == {
        "agent",
        "agent.settings",
        "agent.sysctls",
        "agent.thresholds",
    }
    assert within(modules, "kubernetes_validate", "jsonschema") == set()


def test_an_agent_loads_what_it_uses_all_the_time_and_nothing_else() -> None:
    modules = loaded("import deploy.cli, deploy.failures, agent.agent")
    heavy = (
        "numpy", "cryptography", "aiohttp.web", "yaml", "jsonschema", "jsonschema_rs", "kubernetes_validate",
        "pyroute2", "sqlite3", "asyncssh", "rich", "shared.pki",
    )  # fmt: skip
    assert within(modules, *heavy) == set()
    assert within(modules, "controlplane") == {"controlplane", "controlplane.settings"}


@pytest.mark.parametrize("module", ["deploy.cli, controlplane.server", "deploy.cli, agent.agent"])
def test_aiohttp_has_no_trust_of_its_own(module: str) -> None:
    work = f"import {module}; import aiohttp.connector as c; print(c._SSL_CONTEXT_VERIFIED.cert_store_stats()['x509'])"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(work=work)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[0] == "0", done.stderr
