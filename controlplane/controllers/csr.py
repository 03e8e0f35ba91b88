"""Certificates of nodes: approves, signs and clears away CertificateSigningRequests of agents.

Writes approval, status and deletion of requests to the signer kubernetes.io/kube-apiserver-client-kubelet; every
other request is left to people, and all finished ones are deleted in time. Holds the CA that it is given and reads
no file. One sync at a time for each request. The rules are those of k8s.io/kubernetes
pkg/controller/certificates (approver, signer, cleaner), and one of ours: a join token does not take over the name of
a node that is alive.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from controlplane.controllers import conditions
from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Delete, Patch, send
from shared import pki
from shared.api.apps import CertificateSigningRequest, Lease
from shared.api.kinds import CERTIFICATE_SIGNING_REQUESTS, LEASES, NODE_LEASE_NAMESPACE
from shared.api.meta import JSON, Condition
from shared.pki import CertificateAuthority

logger = logging.getLogger(__name__)

SIGNER = "kubernetes.io/kube-apiserver-client-kubelet"
BOOTSTRAP_USER, BOOTSTRAP_GROUP = "system:bootstrap:", "system:bootstrappers"
_NEEDED = frozenset({"digital signature", "client auth"})
_ALLOWED = _NEEDED | {"key encipherment"}


@dataclass(frozen=True, slots=True)
class CsrSettings:
    """Seconds. ``lifetime``: of a certificate, unless less is asked for. ``takeover``: how long a join waits for a
    living node of its name to fall silent, as one that was just stopped does, before it is denied. ``finished`` and
    ``pending``: after which requests are deleted."""

    lifetime: float = pki.CLIENT_LIFETIME.total_seconds()
    takeover: float = 10.0
    finished: float = 3600.0
    pending: float = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request's PEM says: the subject, and a digest of the public key."""

    name: str
    groups: tuple[str, ...]
    key: str

    @property
    def node(self) -> str:
        """The node's name; empty when it is no node's subject."""
        node = self.name.removeprefix(pki.NODE_PREFIX)
        return node if node != self.name and self.groups == (pki.NODE_GROUP,) else ""


@dataclass(frozen=True, slots=True)
class View:
    """``asked`` is None when the request cannot be read. ``alive``: a node of that name has its lease, under
    certificates for other keys than this one."""

    csr: CertificateSigningRequest
    asked: Asked | None
    alive: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """At most one of: ``condition`` to add, ``sign``, ``delete``; ``again``: seconds until the next look."""

    condition: Condition | None = None
    sign: bool = False
    delete: bool = False
    again: float | None = None


def decide(view: View, now: datetime, settings: CsrSettings = CsrSettings()) -> Plan:
    """What the request needs."""
    csr = view.csr
    said = {condition.type: condition for condition in csr.status.conditions}
    finished = said.get("Denied") or said.get("Failed") or (said.get("Approved") if csr.status.certificate else None)
    if finished is not None:
        since = finished.last_update_time or finished.last_transition_time or csr.metadata.creation_timestamp
        return _expire(since, now, settings.finished)
    ours = csr.spec.signer_name == SIGNER
    if ours and "Approved" in said:
        wrong = _wrong(view)
        return Plan(_condition("Failed", "SignerValidationFailure", wrong, now)) if wrong else Plan(sign=True)
    if ours and "Approved" not in said and not _wrong(view):
        assert view.asked is not None
        if csr.spec.username == view.asked.name and pki.NODE_GROUP in csr.spec.groups:
            message = "The node asks for its own certificate anew."
            return Plan(_condition("Approved", "AutoApproved", message, now))
        if csr.spec.username.startswith(BOOTSTRAP_USER) and BOOTSTRAP_GROUP in csr.spec.groups:
            return _bootstrap(view, now, settings)
    # Kubernetes never deletes an approved request that waits for its signer; nor is it ours to judge.
    if "Approved" in said:
        return Plan()
    return _expire(csr.metadata.creation_timestamp, now, settings.pending)


def _bootstrap(view: View, now: datetime, settings: CsrSettings) -> Plan:
    """A host that joins with a token."""
    assert view.asked is not None
    if not view.alive:
        message = "The join token allows a node of this name."
        return Plan(_condition("Approved", "AutoApproved", message, now))
    left = _left(view.csr.metadata.creation_timestamp, now, settings.takeover)
    if left > 0:
        return Plan(again=left)
    message = (
        f"A node named {view.asked.node} is alive in this cluster. Stop its agent first, or join under another name."
    )
    return Plan(_condition("Denied", "NodeIsAlive", message, now))


def _wrong(view: View) -> str:
    """Why the signer does not sign this; empty when it does (KubeletClientCertRecognizer)."""
    usages = frozenset(view.csr.spec.usages)
    if view.asked is None:
        return "The request cannot be read."
    if not view.asked.node:
        return f"The subject must be O={pki.NODE_GROUP}, CN={pki.NODE_PREFIX}<node name>."
    if not _NEEDED <= usages <= _ALLOWED:
        return f"The usages must be {', '.join(sorted(_NEEDED))}, and key encipherment if need be."
    return ""


def _expire(since: datetime | None, now: datetime, seconds: float) -> Plan:
    left = _left(since, now, seconds)
    return Plan(again=left) if left > 0 else Plan(delete=True)


def _left(since: datetime | None, now: datetime, seconds: float) -> float:
    return seconds - (now - since).total_seconds() if since is not None else seconds


def _condition(type: str, reason: str, message: str, now: datetime) -> Condition:
    return Condition(
        type=type, status="True", reason=reason, message=message, last_update_time=now, last_transition_time=now
    )


def read(csr: CertificateSigningRequest) -> Asked | None:
    """What the request asks for; None when it cannot be read."""
    try:
        pem = base64.b64decode(csr.spec.request, validate=True)
        name, groups = pki.csr_subject(pem)
        key = pki.csr_public_key(pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (binascii.Error, ValueError, pki.PkiError):
        return None
    return Asked(name, groups, hashlib.sha256(key).hexdigest())


class CsrController:
    """See the module. ``ca`` signs."""

    name = "csr"

    def __init__(self, context: Context, ca: CertificateAuthority, settings: CsrSettings = CsrSettings()) -> None:
        self._client, self._clock = context.client, context.clock
        self._ca, self._settings = ca, settings
        self._csrs = context.informers.cache(CERTIFICATE_SIGNING_REQUESTS)
        self._leases = context.informers.cache(LEASES)

    def watches(self) -> Sequence[Watch]:
        return (Watch(CERTIFICATE_SIGNING_REQUESTS, self._keys_of_csr), Watch(LEASES, self._keys_of_lease))

    def _keys_of_csr(
        self, old: CertificateSigningRequest | None, new: CertificateSigningRequest | None
    ) -> Iterable[Key]:
        return () if new is None else (("", new.metadata.name),)

    def _keys_of_lease(self, old: Lease | None, new: Lease | None) -> Iterable[Key]:
        """A node fell silent: whoever waits to join under its name may."""
        if new is not None or old is None or old.metadata.namespace != NODE_LEASE_NAMESPACE:
            return ()
        return [("", csr.metadata.name) for csr in self._csrs if not csr.status.conditions]

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a request's."""
        csr = self._csrs.get(key[1])
        if csr is None:
            return None
        asked = read(csr)
        plan = decide(View(csr, asked, self._is_alive(asked)), self._clock.now(), self._settings)
        meta = csr.metadata
        if plan.delete:
            await send(
                self._client,
                Delete(CERTIFICATE_SIGNING_REQUESTS, meta.name, uid=meta.uid, resource_version=meta.resource_version),
            )
        version = meta.resource_version
        if plan.condition is not None:
            version = await self._say(csr, plan.condition)
        approved = plan.condition is not None and plan.condition.type == "Approved"
        if version and asked is not None and (plan.sign or approved):
            await self._sign(csr, asked, version)
        return plan.again

    def _is_alive(self, asked: Asked | None) -> bool:
        """Whether another key's holder is the node of that name now."""
        if asked is None or self._leases.get(asked.node, NODE_LEASE_NAMESPACE) is None:
            return False
        issued = (other for other in self._csrs if other.status.certificate)
        return not any((has := read(other)) and has.name == asked.name and has.key == asked.key for other in issued)

    async def _say(self, csr: CertificateSigningRequest, condition: Condition) -> str:
        """Add a condition; the version that it made, empty if the request is gone."""
        after = conditions.with_condition(csr.status.conditions, condition)
        patch: JSON = {
            "metadata": {"resourceVersion": csr.metadata.resource_version},
            "status": {"conditions": [conditions.condition_tree(c) for c in after]},
        }
        subresource = "status" if condition.type == "Failed" else "approval"
        name = csr.metadata.name
        answer = await send(self._client, Patch(CERTIFICATE_SIGNING_REQUESTS, name, patch, subresource=subresource))
        extra = {"request": name, "requester": csr.spec.username, "outcome": condition.type, "why": condition.reason}
        logger.info("decided on a certificate signing request", extra=extra)
        return "" if answer is None else str(answer["metadata"]["resourceVersion"])

    async def _sign(self, csr: CertificateSigningRequest, asked: Asked, version: str) -> None:
        seconds = min(self._settings.lifetime, csr.spec.expiration_seconds or self._settings.lifetime)
        status: JSON = {}
        try:
            certificate = pki.sign_csr(
                self._ca,
                base64.b64decode(csr.spec.request),
                expected_cn=asked.name,
                expected_org=pki.NODE_GROUP,
                lifetime=timedelta(seconds=seconds),
            )
        except pki.CsrRefused as error:
            # Approved, but the signer does not give it: the next version of the request, with the approval, fails.
            logger.warning("a certificate signing request was not signed", extra={"request": csr.metadata.name})
            known = [c for c in csr.status.conditions if c.type != "Failed"]
            if not any(c.type == "Approved" for c in known):
                known.append(_condition("Approved", "AutoApproved", "", self._clock.now()))
            known.append(_condition("Failed", "SignerValidationFailure", str(error), self._clock.now()))
            status["conditions"] = [conditions.condition_tree(c) for c in known]
        else:
            status["certificate"] = base64.b64encode(certificate).decode()
        patch = {"metadata": {"resourceVersion": version}, "status": status}
        await send(self._client, Patch(CERTIFICATE_SIGNING_REQUESTS, csr.metadata.name, patch, subresource="status"))
