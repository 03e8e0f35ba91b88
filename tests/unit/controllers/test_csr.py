"""Which certificate signing requests are approved, denied, signed, failed, deleted or left alone."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.controllers.csr import SIGNER, Asked, Plan, View, decide, read
from shared import pki
from shared.api.apps import CertificateSigningRequest, CertificateSigningRequestSpec, CertificateSigningRequestStatus
from shared.api.meta import Condition, ObjectMeta

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
NODE = "system:node:n1"
TOKEN = {"username": "system:bootstrap:abcdef", "groups": ("system:bootstrappers", "system:authenticated")}
ITSELF = {"username": NODE, "groups": ("system:nodes", "system:authenticated")}
ADMIN = {"username": "longboat:admin", "groups": ("system:masters",)}
ASKED = Asked(NODE, ("system:nodes",), "key")


def csr(
    who: dict[str, Any], *said: str, certificate: str = "", signer: str = SIGNER, age: float = 1, usages=(), request=""
) -> CertificateSigningRequest:
    usages = usages or ("digital signature", "client auth")
    when = NOW - timedelta(seconds=age)
    return CertificateSigningRequest(
        metadata=ObjectMeta(name="csr", creation_timestamp=when),
        spec=CertificateSigningRequestSpec(signer_name=signer, usages=usages, request=request, **who),
        status=CertificateSigningRequestStatus(
            certificate=certificate,
            conditions=tuple(Condition(type=type, status="True", last_update_time=when) for type in said),
        ),
    )


def outcome(plan: Plan) -> str:
    if plan.condition is not None:
        return f"{plan.condition.type} {plan.condition.reason}"
    return "sign" if plan.sign else "delete" if plan.delete else f"wait {plan.again:g}" if plan.again else "nothing"


DAY = 24 * 3600 - 1


@pytest.mark.parametrize(
    ("given", "asked", "alive", "expected"),
    [
        pytest.param(csr(TOKEN), ASKED, False, "Approved AutoApproved", id="joins-with-a-token"),
        pytest.param(csr(ITSELF), ASKED, True, "Approved AutoApproved", id="renews-while-alive"),
        pytest.param(csr(TOKEN), ASKED, True, "wait 9", id="name-is-alive-for-now"),
        pytest.param(csr(TOKEN, age=10), ASKED, True, "Denied NodeIsAlive", id="name-is-alive"),
        pytest.param(csr(TOKEN, age=10), ASKED, False, "Approved AutoApproved", id="name-fell-silent"),
        pytest.param(csr(ADMIN), ASKED, False, f"wait {DAY:g}", id="somebody-else-asks"),
        pytest.param(
            csr({**ITSELF, "username": "system:node:n2"}), ASKED, False, f"wait {DAY:g}", id="node-asks-for-another"
        ),
        pytest.param(csr({**TOKEN, "groups": ()}), ASKED, False, f"wait {DAY:g}", id="token-user-without-the-group"),
        pytest.param(csr(TOKEN), None, False, f"wait {DAY:g}", id="unreadable"),
        pytest.param(
            csr(TOKEN), Asked(NODE, ("system:masters",), "k"), False, f"wait {DAY:g}", id="wants-another-group"
        ),
        pytest.param(
            csr(TOKEN), Asked(NODE, ("system:nodes", "system:masters"), "k"), False, f"wait {DAY:g}", id="wants-more"
        ),
        pytest.param(
            csr(TOKEN), Asked("admin", ("system:nodes",), "k"), False, f"wait {DAY:g}", id="wants-another-name"
        ),
        pytest.param(
            csr(TOKEN, usages=("digital signature", "client auth", "server auth")),
            ASKED,
            False,
            f"wait {DAY:g}",
            id="wants-a-server-certificate",
        ),
        pytest.param(csr(TOKEN, signer="example.com/mine"), ASKED, False, f"wait {DAY:g}", id="another-signer"),
        pytest.param(csr(ADMIN, "Approved"), ASKED, False, "sign", id="approved-by-a-person"),
        pytest.param(
            csr(ADMIN, "Approved"), None, False, "Failed SignerValidationFailure", id="approved-but-unreadable"
        ),
        pytest.param(csr(ADMIN, "Approved", signer="example.com/mine"), ASKED, False, "nothing", id="not-our-signer"),
        pytest.param(csr(TOKEN, "Approved", certificate="x"), ASKED, False, "wait 3599", id="issued"),
        pytest.param(csr(TOKEN, "Approved", certificate="x", age=3600), ASKED, False, "delete", id="issued-long-ago"),
        pytest.param(csr(TOKEN, "Denied"), ASKED, False, "wait 3599", id="denied"),
        pytest.param(csr(TOKEN, "Denied", age=3601), ASKED, False, "delete", id="denied-long-ago"),
        pytest.param(csr(ADMIN, "Approved", "Failed", age=3601), ASKED, False, "delete", id="failed-long-ago"),
        pytest.param(csr(ADMIN, age=DAY + 2), ASKED, False, "delete", id="pending-for-a-day"),
    ],
)
def test_decide(given, asked, alive, expected):
    assert outcome(decide(View(given, asked, alive), NOW)) == expected


def test_read():
    pem = pki.signing_request(pki.new_key(), NODE, ["system:nodes"])
    asked = read(csr(TOKEN, request=base64.b64encode(pem).decode()))
    assert asked is not None
    assert (asked.name, asked.groups, asked.node) == (NODE, ("system:nodes",), "n1")


@pytest.mark.parametrize("request_", ["", "!!", base64.b64encode(b"nonsense").decode()], ids=["empty", "bad", "no-pem"])
def test_what_cannot_be_read(request_):
    assert read(csr(TOKEN, request=request_)) is None
