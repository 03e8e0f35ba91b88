"""Which user of a kubeconfig a webhook is shown, and which files are refused."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.lookups import Lookups
from controlplane.apiserver.reach.endpoints import Endpoints
from controlplane.apiserver.streams.hub import TunnelHub
from controlplane.apiserver.webhooks.admission import WebhookAdmission
from controlplane.apiserver.webhooks.caller import Caller
from controlplane.apiserver.webhooks.configuration import MUTATING, VALIDATING, ConfigurationError, load
from controlplane.apiserver.webhooks.proofs import REREAD, ProofError, Proofs, target
from shared import pki
from shared.api.errors import InternalError
from shared.api.kinds import CONFIG_MAPS, VALIDATING_WEBHOOK_CONFIGURATIONS
from shared.client.kubeconfig import Credentials
from shared.work.clock import FakeClock


@pytest.mark.parametrize(
    ("users", "asked", "shown"),
    [
        (["hook.g.svc:443", "hook.g.svc"], "hook.g.svc:443", "hook.g.svc:443"),
        (["hook.g.svc", "*.svc", "*"], "hook.g.svc:443", "hook.g.svc"),
        (["hook.g.svc", "*"], "hook.g.svc:8443", "*"),
        (["*.svc", "*.g.svc"], "hook.g.svc:443", "*.g.svc"),
        (["*.svc"], "hook.g.svc:443", "*.svc"),
        (["*.svc"], "hook.g.svc:8443", ""),
        (["*.svc:8443"], "hook.g.svc:8443", "*.svc:8443"),
        (["*.svc:443", "hook.g.svc"], "hook.g.svc:443", "*.svc:443"),
        (["::1"], "[::1]:443", "::1"),
        (["[::1]:8443"], "[::1]:8443", "[::1]:8443"),
        (["other"], "hook.example:443", ""),
        (["current"], "hook.example:443", "current"),
    ],
)
async def test_the_closest_user_is_shown(users: list[str], asked: str, shown: str) -> None:
    proofs = Proofs({name: Credentials(token=name) for name in users}, "current")
    assert await proofs.of(asked).headers() == ({"Authorization": f"Bearer {shown}"} if shown else {})


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        ({"url": "https://hook.example/path"}, "hook.example:443"),
        ({"url": "https://hook.example:8443"}, "hook.example:8443"),
        ({"url": "https://[::1]:8443/"}, "[::1]:8443"),
        ({"service": {"namespace": "g", "name": "hook"}}, "hook.g.svc:443"),
        ({"service": {"namespace": "g", "name": "hook", "port": 8443}}, "hook.g.svc:8443"),
    ],
)
def test_whom_a_client_config_means(config: dict[str, object], asked: str) -> None:
    assert target(config) == asked


async def test_a_token_of_a_file_is_read_again(tmp_path: Path, clock: FakeClock) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    proof = Proofs({"*": Credentials(token_file=file)}, clock=clock).of("x:443")
    assert await proof.headers() == {"Authorization": "Bearer first"}
    file.write_text("second\n")
    assert await proof.headers() == {"Authorization": "Bearer first"}
    clock.advance(REREAD)
    assert await proof.headers() == {"Authorization": "Bearer second"}
    file.unlink()
    clock.advance(REREAD)
    with pytest.raises(ProofError, match="token cannot be read"):
        await proof.headers()


def test_nothing_secret_is_shown_of_credentials() -> None:
    assert "hidden" not in repr(Credentials(token="hidden", username="u", password="hidden"))


HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"
INNER = "apiVersion: apiserver.config.k8s.io/v1\nkind: WebhookAdmissionConfiguration\n"


def inline(kubeconfig: Path) -> str:
    inner = "".join(f"    {line}\n" for line in f"{INNER}kubeConfigFile: {kubeconfig}".splitlines())
    return f"{HEAD}plugins:\n- name: {MUTATING}\n  configuration:\n{inner}"


async def test_a_file_of_its_own_may_be_named_by_a_relative_path(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "kube").write_text("users: [{name: '*', user: {username: u, password: p}}]\n")
    (tmp_path / "inner").write_text(f"{INNER}kubeConfigFile: {tmp_path}/kube\n")
    (tmp_path / "file").write_text(f"{HEAD}plugins: [{{name: {MUTATING}, path: inner}}]\n")
    found = load(tmp_path / "file", clock)
    assert await found[MUTATING].of("x:443").headers() == {"Authorization": "Basic dTpw"}


async def test_the_users_of_the_current_context_is_for_everybody_else(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "kube").write_text(
        "current-context: c\ncontexts: [{name: c, context: {user: u}}]\nusers: [{name: u, user: {token: t}}]\n"
    )
    (tmp_path / "file").write_text(inline(tmp_path / "kube"))
    assert await load(tmp_path / "file", clock)[MUTATING].of("x:443").headers() == {"Authorization": "Bearer t"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: [", "file: "),
        ("apiVersion: v1\nkind: Pod", "must be apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration"),
        (HEAD + "plugins: [{name: PodSecurity}]", r"plugins\[0\].name: 'PodSecurity' takes no configuration"),
        (HEAD + "plugins: [{nme: x}]", r"plugins\[0\]"),
        (HEAD + f"plugins: [{{name: {MUTATING}, configuration: {{kind: x}}}}]", r"plugins\[0\].configuration: must be"),
        (HEAD + f"plugins: [{{name: {MUTATING}, path: none}}]", r"plugins\[0\].path: .*none cannot be read"),
        (inline(Path("kube")), "kubeConfigFile: 'kube' must be an absolute file path"),
        (inline(Path("/nowhere/kube")), "kubeConfigFile: /nowhere/kube: .*cannot be read"),
    ],
)
def test_bad_files_are_refused_by_field(tmp_path: Path, clock: FakeClock, text: str, words: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ConfigurationError, match=words) as refused:
        load(tmp_path / "file", clock)
    assert str(tmp_path / "file") in str(refused.value)


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("{exec: {command: x}}", "user 'u': exec is not supported"),
        ("{client-certificate-data: QQ==}", "user 'u': client-certificate and client-key need each other"),
        ("{client-certificate-data: QQ==, client-key-data: QQ==}", "user 'u': client-certificate and client-key: "),
        ("{client-key-data: '?'}", "client-key-data is not base64"),
        ("{token: t, username: u}", "user 'u': username/password or token may be set, but not both"),
        ("{tokenFile: gone}", "user 'u': tokenFile .*gone cannot be read"),
        ("3", "users is not a list of named entries"),
    ],
)
def test_bad_users_are_refused_by_field(tmp_path: Path, clock: FakeClock, user: str, words: str) -> None:
    (tmp_path / "kube").write_text(f"users: [{{name: u, user: {user}}}]\n")
    (tmp_path / "file").write_text(inline(tmp_path / "kube"))
    with pytest.raises(ConfigurationError, match=words):
        load(tmp_path / "file", clock)


async def test_a_webhook_that_wants_a_certificate_and_a_token_is_shown_them(
    api: ApiServer, client: LocalClient, tmp_path: Path, clock: FakeClock
) -> None:
    authority = pki.create_ca()
    served, ours = pki.server_certificate(authority, ["127.0.0.1"]), pki.client_certificate(authority, "the-server", [])
    for name, data in (("s.crt", served.certificate), ("s.key", served.key), ("c.crt", ours.certificate),
                       ("c.key", ours.key)):  # fmt: skip
        (tmp_path / name).write_bytes(data)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.pem.decode())
    context.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    context.verify_mode = ssl.CERT_REQUIRED
    seen: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        subject = dict(part[0] for part in request.get_extra_info("peercert")["subject"])
        seen.append((subject["commonName"], request.headers.get("Authorization", "")))
        uid = (await request.json())["request"]["uid"]
        review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}
        return web.json_response(review | {"response": {"uid": uid, "allowed": True}})

    app = web.Application()
    app.router.add_post("/", answer)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=context)
    caller = Caller(Endpoints(api, Lookups(api, lambda node: ()), TunnelHub()))
    user = f"127.0.0.1:{server.port}"
    (tmp_path / "kube").write_text(
        f"users: [{{name: '{user}', user: {{client-certificate: c.crt, client-key: c.key, token: t}}}}]\n"
    )
    (tmp_path / "file").write_text(inline(tmp_path / "kube").replace(MUTATING, VALIDATING))
    bundle = base64.b64encode(authority.pem).decode()
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    hook = {
        "name": "look.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [rule],
        "clientConfig": {"url": f"https://{user}/", "caBundle": bundle},
    }  # fmt: skip
    await client.create(VALIDATING_WEBHOOK_CONFIGURATIONS, {"metadata": {"name": "v"}, "webhooks": [hook]})
    api.admission.append(WebhookAdmission(api, caller))
    with pytest.raises(InternalError, match="failed calling webhook"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "g")
    api.admission[:] = [WebhookAdmission(api, caller, load(tmp_path / "file", clock))]
    await client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "g")
    assert seen == [("the-server", "Bearer t")]
    await caller.close()
    await server.close()
