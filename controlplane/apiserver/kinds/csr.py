"""CertificateSigningRequest: a request that never changes, and what was decided about it.

Pure. Rules and texts are those of pkg/apis/certificates/validation. Who asks (username, groups, uid) is written by
admission, never taken from the body.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import timedelta

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import duplicate, forbidden, immutable, invalid, not_supported, required
from controlplane.apiserver.kinds.cells import NONE, age_column, at, field_column, human_duration, name_column
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel",
    "ipsec user", "key agreement", "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime",
    "server auth", "signing", "timestamping",
)  # fmt: skip
_MIN_SECONDS = 600
_MAX_SIGNER = 571


def validate(csr: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = csr.get("spec") or {}
    if old is not None:
        return [*immutable("spec", spec, old.get("spec") or {}), *_conditions(csr)]
    found: list[Cause] = []
    if detail := _wrong_request(spec.get("request") or ""):
        found.append(invalid("spec.request", spec.get("request") or "", detail))
    usages = spec.get("usages") or ()
    if not usages:
        found.append(required("spec.usages", "usages must be provided"))
    seen: set[str] = set()
    for index, usage in enumerate(usages):
        path = f"spec.usages[{index}]"
        if usage not in USAGES:
            found.append(not_supported(path, usage, USAGES))
        elif usage in seen:
            found.append(duplicate(path, usage))
        seen.add(usage)
    found += _signer(spec.get("signerName") or "")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < _MIN_SECONDS:
        found.append(
            invalid("spec.expirationSeconds", seconds, f"may not specify a duration less than {_MIN_SECONDS} seconds")
        )
    return [*found, *_conditions(csr)]


def _wrong_request(request: str) -> str:
    """Why the request cannot be read; empty when it can."""
    from cryptography import x509

    try:
        pem = base64.b64decode(request)
        if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
            return "PEM block type must be CERTIFICATE REQUEST"
        x509.load_pem_x509_csr(pem)
    except ValueError as error:
        return str(error)
    return ""


def _signer(signer: str) -> Iterable[Cause]:
    path = "spec.signerName"
    if not signer:
        yield required(path)
        return
    domain, slash, name = signer.partition("/")
    if not slash or "/" in name:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        yield invalid(path, signer, detail)
        return
    wrong = (*names.dns_subdomain(domain), *names.dns_subdomain(name))
    for detail in wrong:
        yield invalid(path, signer, detail)
    if not wrong and "." not in domain:
        yield invalid(path, domain, "should be a domain with at least two segments separated by dots")
    if len(signer) > _MAX_SIGNER:
        yield invalid(path, signer, f"must be no more than {_MAX_SIGNER} bytes")


def _conditions(csr: JSON) -> Iterable[Cause]:
    seen: set[str] = set()
    for index, condition in enumerate(at(csr, "status", "conditions", default=())):
        path = f"status.conditions[{index}]"
        kind = condition.get("type") or ""
        if not kind:
            yield required(f"{path}.type")
        elif kind in seen:
            yield duplicate(f"{path}.type", kind)
        if kind in ("Approved", "Denied", "Failed") and condition.get("status") != "True":
            yield not_supported(f"{path}.status", condition.get("status") or "", ("True",))
        seen.add(kind)
    if {"Approved", "Denied"} <= seen:
        yield invalid("status.conditions", "Denied", "Approved and Denied conditions are mutually exclusive")


def validate_status(csr: JSON, old: JSON | None) -> Iterable[Cause]:
    """Approval, denial and the certificate are there to stay."""
    found = list(_conditions(csr))
    had = {c.get("type") for c in at(old, "status", "conditions", default=())}
    has = {c.get("type") for c in at(csr, "status", "conditions", default=())}
    for kind in ("Approved", "Denied", "Failed"):
        if kind in had and kind not in has:
            found.append(forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"'))
    if before := at(old, "status", "certificate"):
        found += immutable("status.certificate", at(csr, "status", "certificate"), before)
    return found


def _condition(csr: JSON) -> str:
    types = {c.get("type") for c in at(csr, "status", "conditions", default=())}
    word = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        word += ",Failed"
    return f"{word},Issued" if at(csr, "status", "certificate") else word


def _duration(csr: JSON) -> str:
    seconds = at(csr, "spec", "expirationSeconds")
    return NONE if seconds is None else human_duration(timedelta(seconds=seconds))


def selectable(csr: JSON) -> Mapping[str, str]:
    return {"spec.signerName": at(csr, "spec", "signerName", default="")}


CERTIFICATE_SIGNING_REQUEST = Kind(
    resource=kinds.CERTIFICATE_SIGNING_REQUESTS,
    singular="certificatesigningrequest",
    short_names=("csr",),
    columns=(
        name_column(),
        age_column(),
        field_column("SignerName", "string", "Who is asked to sign.", "spec", "signerName", default=NONE),
        field_column("Requestor", "string", "Who asks.", "spec", "username", default=""),
        Column("RequestedDuration", "string", "How long the certificate shall be valid.", _duration),
        Column("Condition", "string", "What was decided.", _condition),
    ),
    subresources=(
        Subresource("approval", ("get", "patch", "update")),
        Subresource("status", ("get", "patch", "update")),
    ),
    validate=validate,
    validate_status=validate_status,
    selectable_fields=selectable,
)
