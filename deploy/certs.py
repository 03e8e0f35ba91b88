"""``longboat certs``: the server's own certificates, looked at and made anew on its host.

Works on the files alone, with or without a running server: of one that runs, new connections show the new certificate
after its next look at the files, or its next start. Blocking and short.
"""

from __future__ import annotations

import os
from pathlib import Path

from shared import pki
from shared.api.meta import timestamp
from shared.client import kubeconfig
from shared.client.kubeconfig import ADMIN_KUBECONFIG, KubeconfigError
from shared.cluster_pki import renew_cluster_pki
from shared.work.clock import Clock, SystemClock


def renew(data_dir: Path, server: str, clock: Clock = SystemClock()) -> list[str]:
    """New certificates for the server and the administrator, told line by line.

    ``server`` is the URL for the kubeconfig, that of the old one when empty. Raises PkiError, KubeconfigError, OSError.
    """
    path = data_dir / ADMIN_KUBECONFIG
    found = renew_cluster_pki(data_dir, clock)
    if not server:
        try:
            server = kubeconfig.load(path).server
        except KubeconfigError as error:
            raise KubeconfigError(f"{error}; give the server's URL with --server") from error
    admin = found.admin()
    owner = data_dir.stat()
    pki.write_private(path, kubeconfig.render(server, found.ca_pem, admin, user=pki.ADMIN_NAME))
    if os.geteuid() == 0:  # what root writes must stay the server's
        for written in (path, found.server_certificate, found.server_key):
            os.chown(written, owner.st_uid, owner.st_gid)
    return [
        f"{found.server_certificate}  good until {_end(found.server_certificate.read_bytes())}",
        f"{path}  good until {_end(admin.certificate)}",
        "a running server shows the new certificate after its next start",
    ]


def _end(pem: bytes) -> str:
    return timestamp(pki.validity(pem)[1])
