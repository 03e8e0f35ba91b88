"""Asking the cluster for this node's client certificate, with a CertificateSigningRequest.

Signer kubernetes.io/kube-apiserver-client-kubelet, as a kubelet asks. The waiting is bounded and backed off.
Used by joining (with a token) and by renewal (as the node itself).
"""

from __future__ import annotations

import asyncio
import base64
import binascii

from agent import keys
from agent.keys import MakeKey, NewKey
from shared import tls
from shared.api.apps import CertificateSigningRequest
from shared.api.errors import AlreadyExists, NotFound, ServiceUnavailable, StatusError, Timeout, TooManyRequests
from shared.api.kinds import CERTIFICATE_SIGNING_REQUESTS
from shared.api.meta import JSON
from shared.client.base import Client
from shared.tls import KeyPair, PkiError
from shared.work.backoff import Backoff

SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
_POLL = Backoff(0.05, 2.0)


class CertificateRefused(Exception):
    """The cluster does not sign the request; the message says why."""


async def request_certificate(
    client: Client, node_name: str, timeout: float, make_key: MakeKey = keys.in_child
) -> KeyPair:
    """A new key and the certificate for it, within ``timeout`` seconds once there is the key.

    Raises CertificateRefused when denied or failed, Timeout when nobody signs in time, and the StatusErrors of the
    API, except that an unreachable server is tried again until the time is over; OSError when no key can be made.
    """
    made = await make_key(node_name)
    body = csr_object(made)
    name = str(body["metadata"]["name"])
    trouble: StatusError | None = None
    try:
        async with asyncio.timeout(timeout):
            created, attempt = False, 0
            while True:
                try:
                    if not created:
                        await _create(client, body)
                        created = True
                    found = await client.get(CERTIFICATE_SIGNING_REQUESTS, name)
                    trouble = None
                    if certificate := signed(found):
                        if not tls.matches(certificate, made.key):
                            raise CertificateRefused("the server signed another key than ours")
                        return KeyPair(certificate, made.key)
                except (ServiceUnavailable, Timeout, TooManyRequests) as error:
                    trouble = error
                except NotFound:
                    created = False  # collected before it was signed: ask again
                await asyncio.sleep(_POLL.delay(attempt))
                attempt += 1
    except TimeoutError as error:
        if trouble is not None:
            raise trouble from error
        raise Timeout(
            f"the certificate request {name} was not approved and signed within {timeout:g} s; is the server's"
            " certificate controller running?"
        ) from error
    except PkiError as error:
        raise CertificateRefused(f"the server's answer cannot be used: {error}") from error


def csr_object(made: NewKey) -> JSON:
    """The CertificateSigningRequest for a new key; named by it, so that asking twice is asking once."""
    return {
        "kind": CERTIFICATE_SIGNING_REQUESTS.kind,
        "apiVersion": CERTIFICATE_SIGNING_REQUESTS.api_version,
        "metadata": {"name": f"node-csr-{made.digest[:40]}"},
        "spec": {
            "request": base64.b64encode(made.request).decode(),
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
        },
    }


def signed(found: CertificateSigningRequest) -> bytes | None:
    """The certificate once it is there. Raises CertificateRefused when it never will be."""
    for condition in found.status.conditions:
        if condition.type in ("Denied", "Failed") and condition.status != "False":
            raise CertificateRefused(
                f"the certificate request was {condition.type.lower()}: {condition.message or condition.reason}"
            )
    if not found.status.certificate:
        return None
    try:
        return base64.b64decode(found.status.certificate, validate=True)
    except binascii.Error as error:
        raise CertificateRefused("the certificate in the server's answer is not base64") from error


async def _create(client: Client, body: JSON) -> None:
    try:
        await client.create(CERTIFICATE_SIGNING_REQUESTS, body)
    except AlreadyExists:
        return  # an earlier answer was lost
