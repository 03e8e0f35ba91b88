"""The ``longboat`` command: wiring of flags to work. Heavy imports happen inside the commands, so --help is quick.

Exit codes: 0 done; 1 it could not be done (the message says why and what to do); 2 the command line or a setting
is wrong; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from agent.settings import AgentSettings
from controlplane.settings import ServerSettings
from shared import footprint, settings
from shared.settings import SettingsError
from shared.version import VERSION

F = TypeVar("F", bound=Callable[..., Any])
G = TypeVar("G")

EPILOG = "Exit codes: 0 done, 1 could not be done, 2 wrong usage or setting, 130 interrupted."


class Failure(click.ClickException):
    """Something that the user can mend: printed as one line, exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"longboat: {self.message}", err=True)


class SettingFailure(Failure):
    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=EPILOG)
@click.version_option(VERSION, prog_name="longboat")
def cli() -> None:
    """Plain Docker hosts as one cluster that speaks the Kubernetes API."""


def _group_options(group: str, cls: type[Any]) -> Callable[[F], F]:
    """Give a command a flag for each setting of a group, and ``--config``."""

    def decorate(command: F) -> F:
        for field in reversed(settings.fields(group, cls)):
            default = "" if field.default in (None, "", {}) else f" [default: {field.default}]"
            unit = f" ({field.unit})" if field.unit else ""
            help_text = f"{field.help}{unit}{default} [env: {field.variable}]"
            flag = f"{field.flag}/--no-{field.key}" if field.type is bool else field.flag
            metavar = field.metavar or ("NUMBER" if field.type in (int, float) else None)
            option = click.option(flag, field.name, default=None, metavar=metavar, help=help_text)
            command = option(command)
        config = click.option(
            "--config", type=click.Path(path_type=Path, dir_okay=False), envvar="LONGBOAT_CONFIG",
            help="YAML file of settings, a mapping for each of: server, agent. [env: LONGBOAT_CONFIG]",
        )  # fmt: skip
        return config(command)

    return decorate


def _load(group: str, cls: type[G], config: Path | None, flags: dict[str, Any]) -> G:
    try:
        return settings.load(group, cls, file=config, environ=os.environ, flags=flags)
    except SettingsError as error:
        raise SettingFailure(str(error)) from error


def _run(work: Coroutine[Any, Any, G]) -> G:
    """Run to the end; the errors that users can mend become one line."""
    import asyncio

    from deploy.failures import explain, is_misuse

    try:
        return asyncio.run(work)
    except Exception as error:
        text = explain(error)
        if text is None:
            raise
        raise (SettingFailure if is_misuse(error) else Failure)(text) from error


_kubeconfig = click.option(
    "--kubeconfig", type=click.Path(path_type=Path, dir_okay=False), envvar="KUBECONFIG",
    help="The cluster, and who you are in it. [env: KUBECONFIG]",
)  # fmt: skip


@cli.command(epilog=EPILOG)
@_group_options("server", ServerSettings)
def server(config: Path | None, **flags: Any) -> None:
    """Run the control plane: API, controllers and scheduler."""
    loaded = _load("server", ServerSettings, config, flags)
    with footprint.importing():
        from controlplane.server import run_server
        from shared.observe import logs

    logs.configure(loaded.log_level, loaded.log_format)
    _run(run_server(loaded))


@cli.command(epilog=EPILOG)
@_group_options("agent", AgentSettings)
def agent(config: Path | None, **flags: Any) -> None:
    """Run the agent of this host's Docker daemon. Started again on its data directory it needs no token."""
    loaded = _load("agent", AgentSettings, config, flags)
    with footprint.importing():
        from agent.agent import run_agent
        from shared.observe import logs

    logs.configure(loaded.log_level, loaded.log_format)
    _run(run_agent(loaded))


@cli.group()
def token() -> None:
    """Tokens that let an agent join."""


def _cluster_options(command: F) -> F:
    data_dir = click.option(
        "--data-dir", type=click.Path(path_type=Path, file_okay=False), envvar="LONGBOAT_SERVER_DATA_DIR",
        help="On the server's machine: its data directory. [env: LONGBOAT_SERVER_DATA_DIR]",
    )  # fmt: skip
    return data_dir(_kubeconfig(command))


@token.command("create", epilog=EPILOG)
@_cluster_options
@click.option("--ttl", default="24h", show_default=True, help="How long it is good for: 30m, 24h, 7d.")
@click.option("--description", default="", help="A note for `token list`.")
def token_create(kubeconfig: Path | None, data_dir: Path | None, ttl: str, description: str) -> None:
    """Make a token and print it, alone, on stdout."""
    from deploy import tokens

    click.echo(_run(tokens.create(kubeconfig, data_dir, ttl=ttl, description=description)))


@token.command("list", epilog=EPILOG)
@_cluster_options
def token_list(kubeconfig: Path | None, data_dir: Path | None) -> None:
    """List the tokens by id, never with their secrets."""
    from deploy import tokens

    for line in _run(tokens.table(kubeconfig, data_dir)):
        click.echo(line)


@token.command("revoke", epilog=EPILOG)
@_cluster_options
@click.argument("id")
def token_revoke(kubeconfig: Path | None, data_dir: Path | None, id: str) -> None:
    """End a token now, by its id (or the token itself)."""
    from deploy import tokens

    _run(tokens.revoke(kubeconfig, data_dir, id))
    click.echo(f"token {tokens.id_of(id)} revoked")


@cli.group()
def certs() -> None:
    """The server's own certificates."""


@certs.command("renew", epilog=EPILOG)
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), envvar="LONGBOAT_SERVER_DATA_DIR",
    default=Path("/var/lib/longboat"), show_default=True, help="The server's. [env: LONGBOAT_SERVER_DATA_DIR]",
)  # fmt: skip
@click.option("--server", default="", help="URL for admin.kubeconfig; that of the old one by default.")
def certs_renew(data_dir: Path, server: str) -> None:
    """Make the server's and the administrator's certificates anew; on the server's host.

    Both renew themselves while the server runs. This is for a host that was off until they had ended.
    """
    from deploy import certs
    from deploy.failures import explain

    try:
        lines = certs.renew(data_dir, server)
    except Exception as error:
        if (text := explain(error)) is None:
            raise
        raise Failure(text) from error
    for line in lines:
        click.echo(line)


@cli.group()
def node() -> None:
    """Hosts of the cluster, over SSH."""


def _ssh_options(command: F) -> F:
    key = click.option(
        "-i", "--identity", "key", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="SSH private key."
    )
    accept = click.option("--accept-new", is_flag=True, help="Trust and remember host keys not seen before.")
    dry = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
    return click.argument("hosts", nargs=-1, required=True, metavar="[USER@]HOST[:PORT]...")(
        key(accept(dry(_kubeconfig(command))))
    )


@node.command("add", short_help="Install an agent on each host, and wait.", epilog=EPILOG)
@_ssh_options
def node_add(
    hosts: tuple[str, ...], kubeconfig: Path | None, key: Path | None, accept_new: bool, dry_run: bool
) -> None:
    """Install an agent on each host, side by side, and wait until it is Ready. Run again, it repairs."""
    from deploy.nodes.operations import add_nodes

    work = add_nodes(hosts, kubeconfig=kubeconfig, key=key, accept_new=accept_new, dry_run=dry_run, report=click.echo)
    sys.exit(_run(work))


@node.command("remove", short_help="Take the agent off each host.", epilog=EPILOG)
@_ssh_options
def node_remove(
    hosts: tuple[str, ...], kubeconfig: Path | None, key: Path | None, accept_new: bool, dry_run: bool
) -> None:
    """Take the agent, its containers and its network off each host, and the node out of the cluster."""
    from deploy.nodes.operations import remove_nodes

    work = remove_nodes(
        hosts, kubeconfig=kubeconfig, key=key, accept_new=accept_new, dry_run=dry_run, report=click.echo
    )
    sys.exit(_run(work))


_state = click.option(
    "--state-dir", type=click.Path(path_type=Path, file_okay=False), default=Path("/var/lib/longboat"),
    show_default=True, help="Where everything of the local cluster is kept.",
)  # fmt: skip


@cli.command(short_help="A cluster of this machine alone.", epilog=EPILOG)
@_state
@click.option("--port", default=6443, show_default=True, type=click.IntRange(1, 65535), help="Port of the API.")
@click.option("--sample/--no-sample", default=True, show_default=True, help="Apply the sample Deployment.")
def up(state_dir: Path, port: int, sample: bool) -> None:
    """A cluster of this machine alone: control plane, agent, a sample page. Run again, it changes nothing."""
    from deploy.local import bring_up

    _run(bring_up(state_dir, port=port, sample=sample))


@cli.command(epilog=EPILOG)
@_state
@click.option("--purge", is_flag=True, help="Also remove all state: the store, the CA, everything `up` made.")
def down(state_dir: Path, purge: bool) -> None:
    """Stop what `longboat up` started."""
    from deploy.local import take_down

    _run(take_down(state_dir, purge=purge))


def main() -> None:
    """Entry point."""
    cli(prog_name="longboat")


if __name__ == "__main__":
    main()
