"""Reaching a cluster from the command line: which kubeconfig, and the client that it gives."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from shared import pki
from shared.api.errors import NotFound
from shared.api.kinds import NODES
from shared.client import kubeconfig as kubeconfigs
from shared.client.http import HttpClient
from shared.client.kubeconfig import ADMIN_KUBECONFIG, ClusterAccess, KubeconfigError
from shared.work.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Connection:
    """A client of a cluster, and how it was reached."""

    client: HttpClient
    access: ClusterAccess

    @property
    def ca_digest(self) -> str:
        """What a join token carries. Raises KubeconfigError for a cluster whose CA is not in the kubeconfig."""
        if self.access.ca_pem is None:
            raise KubeconfigError("the kubeconfig names no certificate-authority, which a join token needs")
        return pki.ca_digest(self.access.ca_pem)

    async def node_ready(self, name: str) -> bool:
        """Whether the cluster has a node of that name that is Ready."""
        try:
            found = await self.client.get(NODES, name)
        except NotFound:
            return False
        return any(c.type == "Ready" and c.status == "True" for c in found.status.conditions)


def access(kubeconfig: Path | None, data_dir: Path | None) -> ClusterAccess:
    """From ``--data-dir``, ``--kubeconfig`` (or KUBECONFIG), or ``~/.kube/config``. Raises KubeconfigError."""
    if data_dir is not None:
        paths = [data_dir / ADMIN_KUBECONFIG]
    elif kubeconfig is not None:
        paths = [Path(part) for part in str(kubeconfig).split(os.pathsep) if part]
    else:
        paths = kubeconfigs.default_paths(os.environ)
    found = kubeconfigs.load(paths)
    _check_not_expired(found, paths, SystemClock())
    return found


def _check_not_expired(found: ClusterAccess, paths: list[Path], clock: Clock) -> None:
    """Raises KubeconfigError: the server would only say "certificate expired"."""
    if found.client is None:
        return
    end = pki.validity(found.client.certificate)[1]
    if clock.now() >= end:
        raise KubeconfigError(
            f"{' and '.join(map(str, paths))}: the client certificate expired on {end:%Y-%m-%d %H:%M} UTC: run"
            " 'longboat certs renew' on the server's host and take its admin.kubeconfig"
        )


@asynccontextmanager
async def connect(kubeconfig: Path | None, data_dir: Path | None = None) -> AsyncIterator[Connection]:
    """A connection for the length of the block."""
    found = access(kubeconfig, data_dir)
    client = HttpClient(found.server, found.ssl_context(), found.token, tls_server_name=found.tls_server_name)
    async with client:
        yield Connection(client, found)
