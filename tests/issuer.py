"""A small OpenID Connect provider over real HTTPS: discovery, keys, and the id tokens that it signs."""

from __future__ import annotations

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shared import pki
from tests.cluster import free_port

AUDIENCE = "longboat-tests"


class OidcIssuer:
    """``start`` serves in a thread until ``stop``. Its address is known before."""

    def __init__(self, directory: Path, algorithm: str = "RS256") -> None:
        self._ca = pki.create_ca()
        self.ca_file = directory / "issuer-ca.crt"
        self.ca_file.write_bytes(self._ca.pem)
        pair = pki.server_certificate(self._ca, ["127.0.0.1"])
        self._pem = directory / "issuer.pem"
        self._pem.write_bytes(pair.key + pair.certificate)
        self._port = free_port()
        self.url = f"https://127.0.0.1:{self._port}"
        self.algorithm = algorithm
        self.document: Any = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        """What discovery answers; bytes are sent as they are."""
        self.fetches = 0
        self._server: ThreadingHTTPServer | None = None
        self.rotate("first")

    @property
    def ca_pem(self) -> bytes:
        return self._ca.pem

    def rotate(self, id: str) -> None:
        """Sign with another key from now on; the old one is withdrawn."""
        made: Any = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if self.algorithm[:2] in ("RS", "PS")
            else ec.generate_private_key(ec.SECP256R1())
        )
        self._key, self._id = made, id
        algorithm: Any = jwt.get_algorithm_by_name(self.algorithm)
        self.keys: Any = {"keys": [algorithm.to_jwk(made.public_key(), as_dict=True) | {"kid": id, "use": "sig"}]}

    def token(self, *, key: Any = None, algorithm: str = "", id: str | None = None, **claims: Any) -> str:
        """An id token; a claim that is None is left out."""
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": "jane", "iat": now, "exp": now + 600} | claims
        held = {name: value for name, value in whole.items() if value is not None}
        named = {"kid": self._id if id is None else id}
        return jwt.encode(held, key or self._key, algorithm or self.algorithm, {k: v for k, v in named.items() if v})

    def start(self) -> None:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = {"/.well-known/openid-configuration": issuer.document, "/keys": issuer.keys}.get(self.path)
                issuer.fetches += self.path == "/keys"
                body = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                return

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pem)
        server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._server = server

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
