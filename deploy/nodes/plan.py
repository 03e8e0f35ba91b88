"""From facts to what is to be done, as data that can be compared in tests and printed by ``--dry-run``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.nodes.facts import Facts


@dataclass(frozen=True, slots=True)
class Upload:
    """Put the agent's release on the host and make it the current one."""

    digest: str

    def __str__(self) -> str:
        return f"upload the agent {self.digest}"


@dataclass(frozen=True, slots=True)
class Start:
    """Join with a one-time token where the agent has no valid identity yet, and run it as a service."""

    node: str
    systemd: bool
    anew: bool = False
    """Also when it runs already: there is another release for it."""

    def __str__(self) -> str:
        kind = "a systemd unit" if self.systemd else "a supervised process"
        return f"run the agent as {kind}, as node {self.node}"


@dataclass(frozen=True, slots=True)
class WaitReady:
    node: str

    def __str__(self) -> str:
        return f"wait until node {self.node} is Ready"


@dataclass(frozen=True, slots=True)
class Uninstall:
    """Stop the agent, remove its containers, its network, its files."""

    def __str__(self) -> str:
        return "remove the agent, its containers, its network and its files"


@dataclass(frozen=True, slots=True)
class DeleteNode:
    node: str

    def __str__(self) -> str:
        return f"delete node {self.node} from the cluster"


Operation = Upload | Start | WaitReady | Uninstall | DeleteNode


def add(facts: Facts, digest: str) -> tuple[Operation, ...]:
    """What makes the host a Ready node; uploading only what is not there."""
    upload = () if facts.release == digest else (Upload(digest),)
    return (*upload, Start(facts.hostname, facts.systemd, anew=bool(upload)), WaitReady(facts.hostname))


def remove(facts: Facts) -> tuple[Operation, ...]:
    """What takes the node away, from the host first: a node object without an agent evicts by itself."""
    uninstall = (Uninstall(),) if facts.release else ()
    return (*uninstall, DeleteNode(facts.hostname))
