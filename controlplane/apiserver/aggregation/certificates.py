"""How this server proves to other API servers that it is the one that says who asks: the front proxy's certificate.

Owns the files ``pki/front-proxy-*`` of the data directory (0600) and the TLS contexts made of them. The CA is another
one than the cluster's: who trusts it for identities need not trust it for anything else.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/.
"""

from __future__ import annotations

import base64
import binascii
import ssl
from collections import OrderedDict
from pathlib import Path

from shared import pki
from shared.api.errors import ServiceUnavailable
from shared.cluster_pki import RENEW_BELOW
from shared.pki import CertificateAuthority, KeyPair, PkiError
from shared.work.clock import Clock

CLIENT_NAME = "front-proxy-client"
_CONTEXTS = 64
"""TLS contexts kept, each for one CA bundle."""


class FrontProxy:
    """``ensure`` before the first use, in a thread, and now and then."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        directory = data_dir / "pki"
        self._clock = clock
        self._ca, self._ca_key = directory / "front-proxy-ca.crt", directory / "front-proxy-ca.key"
        self._certificate, self._key = directory / f"{CLIENT_NAME}.crt", directory / f"{CLIENT_NAME}.key"
        self._contexts: OrderedDict[tuple[str, bool], ssl.SSLContext] = OrderedDict()

    @property
    def ca_pem(self) -> bytes:
        """What the others trust."""
        return self._ca.read_bytes()

    def ensure(self) -> None:
        """Make what is missing or about to end. Blocking. Raises PkiError, OSError."""
        if not self._ca.exists():
            made = pki.create_ca("front-proxy-ca", self._clock)
            pki.write_private(self._ca_key, pki.key_pem(made.key))
            pki.write_private(self._ca, made.pem)
        ca = CertificateAuthority(
            pki.load_certificates(self._ca.read_bytes())[0], pki.load_key(self._ca_key.read_bytes()), self._clock
        )
        if not self._is_fresh(ca):
            pair = pki.client_certificate(ca, CLIENT_NAME, [])
            pki.write_private(self._key, pair.key)
            pki.write_private(self._certificate, pair.certificate)
            self._contexts.clear()

    def _is_fresh(self, ca: CertificateAuthority) -> bool:
        try:
            pair = KeyPair(self._certificate.read_bytes(), self._key.read_bytes())
            return (
                pki.matches(pair.certificate, pair.key)
                and pki.issued_by(pair.certificate, ca.certificate)
                and pki.remaining_share(pair.certificate, self._clock.now()) >= RENEW_BELOW
            )
        except (OSError, PkiError):
            return False  # absent or unreadable: it can always be made again

    def context(self, ca_bundle: str, *, insecure: bool) -> ssl.SSLContext:
        """For a server that ``ca_bundle`` (PEM in base64) vouches for; the system's roots where it is empty. Raises
        ServiceUnavailable."""
        key = ca_bundle, insecure
        context = self._contexts.get(key)
        if context is None:
            try:
                pem = base64.b64decode(ca_bundle).decode() if ca_bundle else None
                context = ssl.create_default_context(cadata=pem)
                context.load_cert_chain(self._certificate, self._key)
            except (binascii.Error, ValueError, OSError) as error:
                raise ServiceUnavailable(f"the caBundle cannot be used: {error}") from error
            if insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._contexts[key] = context
            if len(self._contexts) > _CONTEXTS:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(key)
        return context
