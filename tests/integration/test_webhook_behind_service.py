"""A webhook behind a Service: it is asked through the agent of its pod, and by no other way."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.cluster import eventually


class Hook(BaseHTTPRequestHandler):
    """Refuses what is called "refused", and warns of the rest."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
        response = {"uid": asked["uid"], "allowed": asked["name"] != "refused", "warnings": [self.headers["Host"]]}
        body = json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format, *arguments):
        """Nobody reads it."""


@pytest.fixture
def certificate(tmp_path):
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
               "2", "-subj", "/CN=hook", "-addext", "subjectAltName=DNS:hook.default.svc"]  # fmt: skip
    subprocess.run([*command, "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    return tmp_path


@pytest.fixture
def port(certificate):
    """Of the webhook, which runs on the pod's host."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    server = ThreadingHTTPServer(("0.0.0.0", 0), Hook)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def hooked(docker_cluster, certificate, port):
    cluster = docker_cluster.cluster
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    bundle = base64.b64encode((certificate / "cert").read_bytes()).decode()
    docker_cluster.run_pod("hook", hostNetwork=True)
    cluster.kubectl("label", "pod", "hook", "app=hook")
    cluster.apply({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"selector": {"app": "hook"}, "ports": [{"port": 443, "targetPort": port}]},
    })  # fmt: skip
    eventually(lambda: cluster.endpoints("hook", 1), "an endpoint of hook", interval=0.05)
    service = {"namespace": "default", "name": "hook", "path": "/look"}
    hook = {
        "name": "hook.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None", "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
        "clientConfig": {"service": service, "caBundle": bundle},
    }  # fmt: skip
    kind = "ValidatingWebhookConfiguration"
    cluster.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "hook"},
                   "webhooks": [hook]})  # fmt: skip
    yield cluster
    cluster.kubectl("delete", kind.lower(), "hook")
    cluster.kubectl("delete", "pod", "hook", "--now")


def test_it_is_asked_through_the_agent(hooked):
    assert "Warning: hook.default.svc" in hooked.kubectl("create", "configmap", "allowed").stderr
    refused = hooked.kubectl("create", "configmap", "refused", check=False)
    assert 'admission webhook "hook.example.com" denied the request' in refused.stderr
    other = base64.b64encode(ssl.get_server_certificate(hooked.address.rsplit(":", 1)).encode()).decode()
    change = [{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": other}]
    hooked.kubectl("patch", "validatingwebhookconfiguration", "hook", "--type=json", "-p", json.dumps(change))
    unknown = hooked.kubectl("create", "configmap", "unknown", check=False)
    assert "certificate verify failed" in unknown.stderr


def test_without_the_agent_there_is_no_way(docker_cluster, hooked):
    """The webhook's address could be dialled from here all the while."""
    docker_cluster.stop_agent()
    try:
        lost = hooked.kubectl("create", "configmap", "lost", check=False)
        assert 'failed calling webhook "hook.example.com"' in lost.stderr
        assert "is not connected" in lost.stderr
    finally:
        docker_cluster.start_agent()
