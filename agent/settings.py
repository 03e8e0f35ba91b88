"""Settings of an agent: one frozen group, filled from defaults < file < environment < flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from agent.sysctls import check_patterns
from agent.thresholds import DEFAULTS, LASTS, Reserves, Threshold, parse_reserved, parse_thresholds
from shared.api import names
from shared.settings import SettingsError, check_logging, setting
from shared.usage import INTERVAL, STALE

LONGEST_SHUTDOWN = 80.0
"""Seconds; the unit gives the agent some more (TimeoutStopSec of ``deploy.services``)."""


@dataclass(frozen=True)
class AgentSettings:
    """Everything that ``longboat agent`` can be told."""

    server: str = setting(
        "", "The API server's address, such as https://10.0.0.1:6443. Kept after the first start.", metavar="URL"
    )
    token: str = field(
        default="",
        repr=False,
        metadata={
            "help": "The join token of `longboat token create`; needed for the first start only.",
            "metavar": "TOKEN",
            "unit": "",
            "secret": True,
        },
    )
    token_file: Path | None = setting(
        None, "A file that holds the join token, which then shows in no process list.", metavar="FILE"
    )
    data_dir: Path = setting(
        Path("/var/lib/longboat/agent"), "Where the agent keeps its identity and its pods' files.", metavar="DIR"
    )
    node_name: str = setting("", "The node's name; the host's own by default.", metavar="NAME")
    node_ip: str = setting(
        "",
        "The address that other nodes reach this host at; by default the one it reaches the server from.",
        metavar="IP",
    )
    docker_host: str = setting("unix:///var/run/docker.sock", "The Docker daemon to drive.", metavar="ADDRESS")
    labels: dict[str, str] = setting({}, "Labels that the node gets when it registers.", metavar="KEY=VALUE,...")
    max_pods: int = setting(110, "Pods that the node offers room for.")
    log_level: str = setting("info", "How much to log: debug, info, warning or error.", metavar="LEVEL")
    log_format: str = setting("plain", "How to log: plain or json.", metavar="FORMAT")
    metrics_port: int = setting(0, "Port on 127.0.0.1 that serves /metrics; 0 for none.", metavar="PORT")

    parallel_starts: int = setting(6, "Containers and sandboxes that are made side by side; more gains nothing.")
    parallel_pods: int = setting(64, "Pods that are worked on side by side.")
    warm_pool: int = setting(
        10, "The most sandboxes that stand ready for pods to come, at 5 MB of memory each; 0 for none."
    )
    warm_pool_minimum: int = setting(2, "Sandboxes that stand ready even when no pods came lately.")
    resync: float = setting(
        60.0, "How often all containers are looked at, should an event have been missed.", unit="seconds"
    )
    object_ttl: float = setting(10.0, "How long a ConfigMap or Secret that was read is used again.", unit="seconds")
    volume_refresh: float = setting(
        3.5, "How often files of ConfigMaps and Secrets in running pods are brought up to date.", unit="seconds"
    )

    system_reserved: dict[str, str] = setting(
        {},
        "What is kept from pods for the host's own processes: cpu, memory, ephemeral-storage.",
        metavar="cpu=200m,memory=300Mi",
    )
    eviction_hard: dict[str, str] = setting(
        {},
        "When the node is under pressure, and pods are evicted: amounts or shares that are to be left, which replace "
        f"those of {', '.join(f'{signal}={text}' for signal, text in DEFAULTS.items())}; 0 for never.",
        metavar="memory.available=200Mi,nodefs.available=10%",
    )
    eviction_pressure_transition_period: float = setting(
        LASTS, "How long a pressure is told after it has ended.", unit="seconds"
    )

    image_gc_high_threshold: int = setting(
        85, "How full the disk of the images is when images that the agent pulled and nobody uses go.", unit="percent"
    )
    image_gc_low_threshold: int = setting(80, "How full it is when enough of them went.", unit="percent")
    minimum_image_ttl: float = setting(120.0, "How long an image is kept at least.", unit="seconds")

    shutdown_grace_period: float = setting(
        30.0,
        "How long pods have to end when the host shuts down (where systemd runs the agent); 0 leaves that to Docker.",
        unit="seconds",
    )
    shutdown_grace_period_critical_pods: float = setting(
        10.0, "How much of it, at its end, is for critical pods.", unit="seconds"
    )

    pod_manifest_path: Path | None = setting(
        None, "A directory of pods that this host runs by itself, a file each (static pods).", metavar="DIR"
    )

    pod_pids_limit: int = setting(
        0, "Processes that each container of a pod may have, by the daemon's limit where 0; Docker counts by container."
    )
    allowed_unsafe_sysctls: str = setting(
        "",
        "Settings of the kernel that pods may have in their namespaces beyond the safe ones, which may upset the host.",
        metavar="kernel.msg*,net.core.somaxconn",
    )

    usage_interval: float = setting(
        INTERVAL, "How often it is looked at what the node and its pods use (`kubectl top`).", unit="seconds"
    )

    def __post_init__(self) -> None:
        if not 0.1 <= self.usage_interval <= STALE / 2:  # or the server would take it for gone in between
            raise SettingsError(
                f"--usage-interval: {self.usage_interval:g} is not between 0.1 and {STALE / 2:g} seconds"
            )
        for flag, parse in (("--system-reserved", self._system_reserved), ("--eviction-hard", self._eviction_hard)):
            try:
                parse()
            except ValueError as error:
                raise SettingsError(f"{flag}: {error}") from error
        try:
            check_patterns(self.unsafe_sysctls)
        except ValueError as error:
            raise SettingsError(f"--allowed-unsafe-sysctls: {error}") from error
        if not 0 <= self.image_gc_low_threshold < self.image_gc_high_threshold <= 100:
            raise SettingsError(
                f"--image-gc-low-threshold: {self.image_gc_low_threshold} is not between 0 and "
                f"--image-gc-high-threshold, which is {self.image_gc_high_threshold} (100 at most: never)"
            )
        if not 0 <= self.shutdown_grace_period_critical_pods <= self.shutdown_grace_period <= LONGEST_SHUTDOWN:
            raise SettingsError(
                "--shutdown-grace-period and --shutdown-grace-period-critical-pods: the latter is part of the former, "
                f"which is {LONGEST_SHUTDOWN:g} seconds at most"
            )
        check_logging(self.log_level, self.log_format)
        if self.node_ip and names.ip(self.node_ip):
            raise SettingsError(f"--node-ip: {self.node_ip!r} is no IP address; write for example 10.0.0.11")
        for key, value in self.labels.items():
            for text, wrong in ((key, names.qualified_name(key)), (value, names.label_value(value))):
                if wrong:
                    raise SettingsError(f"--labels: {text!r}: {wrong[0]}")
        if self.pod_pids_limit < 0:
            raise SettingsError("--pod-pids-limit: must not be below 0")
        if self.max_pods < 1:
            raise SettingsError("--max-pods: must be above 0")
        if not 0 <= self.metrics_port <= 65535:
            raise SettingsError(f"--metrics-port: {self.metrics_port} is not a port")

    @property
    def unsafe_sysctls(self) -> tuple[str, ...]:
        """Names, and prefixes with ``*``."""
        return tuple(filter(None, (pattern.strip() for pattern in self.allowed_unsafe_sysctls.split(","))))

    @property
    def reserves(self) -> Reserves:
        """What is kept from pods."""
        return Reserves(self._eviction_hard(), self._system_reserved())

    def _system_reserved(self) -> dict[str, int]:
        return parse_reserved(self.system_reserved)

    def _eviction_hard(self) -> dict[str, Threshold]:
        return parse_thresholds(self.eviction_hard)
