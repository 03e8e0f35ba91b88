"""What can be set on ``longboat server``."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from shared.settings import SettingsError, check_logging, setting


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of the control plane; the environment's prefix is ``LONGBOAT_SERVER_``."""

    data_dir: Path = setting(Path("/var/lib/longboat"), "Directory of the store, the CA and admin.kubeconfig.")
    listen: str = setting("0.0.0.0:6443", "Address that the API is served at.", metavar="HOST:PORT")
    advertise: str = setting(
        "", "Address that agents and kubectl reach the API at; found by the default route when empty.",
        metavar="HOST:PORT",
    )  # fmt: skip
    store: str = setting("sqlite", "Where the state lives: sqlite, in the data directory.")
    cluster_cidr: str = setting("10.42.0.0/16", "Address range of pods; each node gets a /24 of it.", metavar="CIDR")
    service_cidr: str = setting("10.43.0.0/16", "Address range of Services.", metavar="CIDR")
    heartbeat_interval: float = setting(1.0, "How often an agent reports, up to 100 nodes.", unit="seconds")
    heartbeat_factor: float = setting(4.0, "A node is lost after this many intervals without a report.")
    heartbeat_rate: float = setting(100.0, "From this many reports on, intervals are stretched.", unit="per second")
    unreachable_toleration: int = setting(
        0, "How long a pod stays bound to a lost node when it names no toleration of its own.", unit="seconds"
    )
    max_requests_inflight: int = setting(
        64, "How many requests of ordinary users are worked on at a time; nodes and administrators are not held up."
    )
    service_account_issuer: str = setting(
        "https://kubernetes.default.svc.cluster.local",
        "Who issues the tokens of service accounts, and the audience of those that name none.", metavar="URL",
    )  # fmt: skip
    authentication_config: Path | None = setting(
        None, "OpenID Connect providers: a Kubernetes AuthenticationConfiguration (apiserver.config.k8s.io/v1)."
    )
    oidc_issuer_url: str = setting("", "The one OpenID Connect provider whose id tokens are accepted.", metavar="URL")
    oidc_client_id: str = setting("", "What the provider's tokens must be for (their aud claim).")
    oidc_username_claim: str = setting("sub", "The claim that is the user's name.")
    oidc_username_prefix: str = setting(
        "", "Stands before the name; the issuer's URL and # when empty, but before an email address. - is none."
    )
    oidc_groups_claim: str = setting("", "The claim that has the user's groups: a text or a list of texts.")
    oidc_groups_prefix: str = setting("", "Stands before each group.")
    oidc_required_claim: dict[str, str] = setting({}, "Claims that a token must have, with their values.")
    oidc_ca_file: Path | None = setting(None, "The CAs of the provider's server; the system's when not given.")
    oidc_signing_algs: str = setting("RS256", "What tokens may be signed with, such as RS256,ES256.")
    audit_policy_file: Path | None = setting(
        None, "What is written to the audit log: a Kubernetes audit policy (audit.k8s.io/v1). No log without it."
    )
    audit_log_path: Path | None = setting(None, "The audit log; audit.log in the data directory when not given.")
    audit_log_maxsize: int = setting(100, "The audit log is rotated at this size.", unit="megabytes")
    audit_log_maxbackup: int = setting(10, "How many rotated audit logs are kept.")
    admission_control_config_file: Path | None = setting(
        None, "How the server proves to admission webhooks that it is the one that asks: a Kubernetes"
        " AdmissionConfiguration (apiserver.config.k8s.io/v1)."
    )  # fmt: skip
    history_revisions: int = setting(10_000, "How many revisions a watch may reach back.")
    store_limit: int = setting(2_000_000_000, "The store refuses writes beyond this size.", unit="bytes")
    log_level: str = setting("info", "debug, info, warning or error.")
    log_format: str = setting("plain", "plain or json.")

    def __post_init__(self) -> None:
        if self.store != "sqlite":
            raise SettingsError(f"--store: {self.store!r} is not supported; this version has sqlite only")
        split_address(self.listen, "--listen")
        if self.advertise:
            split_address(self.advertise, "--advertise")
        try:
            network = ipaddress.IPv4Network(self.cluster_cidr)
        except ValueError as error:
            raise SettingsError(f"--cluster-cidr: {error}; write for example 10.42.0.0/16") from error
        if network.prefixlen > 24:
            raise SettingsError(f"--cluster-cidr: {network} has no room for one node's /24")
        try:
            services = ipaddress.IPv4Network(self.service_cidr)
        except ValueError as error:
            raise SettingsError(f"--service-cidr: {error}; write for example 10.43.0.0/16") from error
        if not 12 <= services.prefixlen <= 28:
            raise SettingsError(f"--service-cidr: {services} must be between a /12 and a /28")
        if services.overlaps(network):
            raise SettingsError(f"--service-cidr: {services} overlaps --cluster-cidr {network}")
        for name in ("heartbeat_interval", "heartbeat_factor", "heartbeat_rate"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"--{name.replace('_', '-')}: must be above 0")
        for name in ("max_requests_inflight", "audit_log_maxsize", "audit_log_maxbackup"):
            if getattr(self, name) < 1:
                raise SettingsError(f"--{name.replace('_', '-')}: must be at least 1")
        if not self.service_account_issuer.startswith("https://"):
            raise SettingsError(f"--service-account-issuer: {self.service_account_issuer!r} is no https:// URL")
        if self.audit_log_path is not None and self.audit_policy_file is None:
            raise SettingsError("--audit-log-path: needs --audit-policy-file, which says what is written there")
        check_logging(self.log_level, self.log_format)


def split_address(text: str, where: str) -> tuple[str, int]:
    """``HOST:PORT`` or ``[IPv6]:PORT`` in two. Raises SettingsError naming ``where``."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise SettingsError(f"{where}: {text!r} is not HOST:PORT")
    return host, int(port)
