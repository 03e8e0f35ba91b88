"""What runs on the host itself, from the unpacked artefact: ``python3 -m deploy.nodes.onhost start|remove``.

Prints one JSON object: ``{"changed": true}`` or ``{"error": "..."}``. The same services as ``longboat up`` uses.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from pathlib import Path

from deploy import engine, services
from deploy.services import Service, longboat_command

ROOT = Path("/opt/longboat")
STATE = Path("/var/lib/longboat")
AGENT_DATA = STATE / "agent"
TOKEN_FILE = STATE / "join-token"
SERVICE = "longboat-agent"


def start(server: str, node: str, node_ip: str) -> bool:
    """Run the agent; False when it ran with the same command already."""
    command = [
        "agent", "--server", server, "--data-dir", str(AGENT_DATA), "--node-name", node, "--token-file",
        str(TOKEN_FILE),
    ]  # fmt: skip
    if node_ip:
        command += ["--node-ip", node_ip]
    environ = (("PYTHONPATH", str(ROOT / "current")),)
    service = Service(
        SERVICE, longboat_command(*command), after="docker.service network-online.target", environ=environ
    )
    return services.choose(STATE).start(service)


def restart() -> None:
    """Start it anew, on another release or a new token."""
    services.choose(STATE).stop(SERVICE)


def remove() -> bool:
    """Take everything of the agent off this host."""
    from agent.network.teardown import teardown
    from agent.pods.volumes.memory import unmount_below

    chosen = services.choose(STATE)
    chosen.remove(SERVICE)
    engine.remove_ours()
    asyncio.run(teardown())
    engine.remove_images(*engine.pause_images())
    unmount_below(AGENT_DATA)
    # Only the agent's own: a server may keep its data beside it.
    for path in (AGENT_DATA, ROOT):
        shutil.rmtree(path, ignore_errors=True)
    TOKEN_FILE.unlink(missing_ok=True)
    (STATE / "log" / f"{SERVICE}.log").unlink(missing_ok=True)
    for folder in (STATE / "run", STATE / "log", STATE):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m deploy.nodes.onhost")
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start")
    starting.add_argument("--server", required=True)
    starting.add_argument("--node", required=True)
    starting.add_argument("--node-ip", default="")
    starting.add_argument("--restart", action="store_true")
    commands.add_parser("remove")
    arguments = parser.parse_args()
    try:
        if arguments.command == "start":
            if arguments.restart:
                restart()
            changed = start(arguments.server, arguments.node, arguments.node_ip)
        else:
            changed = remove()
    except Exception as error:  # told to the other side, which prints it as the host's one line
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    print(json.dumps({"changed": changed}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
