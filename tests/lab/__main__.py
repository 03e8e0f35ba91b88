"""``python -m tests.lab``: the lab by hand."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.run import LabError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="VM-like hosts on this machine.")
    parser.add_argument("--directory", type=Path, default=Path(os.environ.get("LONGBOAT_LAB", "/var/tmp/longboat-lab")))
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="hosts 1 to N on, with SSH and Docker answering")
    up.add_argument("count", type=int)
    down = commands.add_parser("down", help="everything off and gone")
    down.add_argument("--keep", action="store_true", help="keep the hosts' disks")
    commands.add_parser("status", help="which hosts are on, and where")
    for name, text in {
        "boot": "switch a host on", "poweroff": "pull its plug", "cut": "drop its packets silently",
        "heal": "undo cut", "unplug": "take its carrier away", "plug": "undo unplug",
        "freeze": "stop its processes; its kernel still answers", "thaw": "undo freeze",
    }.items():  # fmt: skip
        commands.add_parser(name, help=text).add_argument("host", type=int)
    ssh = commands.add_parser("ssh", help="a command in a host")
    ssh.add_argument("host", type=int)
    ssh.add_argument("remote", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    lab = Lab(arguments.directory)
    try:
        return _do(lab, arguments)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _do(lab: Lab, arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "up":
            lab.up(arguments.count)
            _status(lab)
        case "down":
            lab.down(arguments.keep)
        case "status":
            _status(lab)
        case "ssh":
            command = lab.host(arguments.host).ssh_command(*arguments.remote)
            command.remove("-n")
            os.execvp(command[0], command)
        case "boot":
            lab.host(arguments.host).boot()
            lab.host(arguments.host).wait()
        case "cut" | "heal":
            getattr(lab.switch, arguments.command)(arguments.host)
        case "plug" | "unplug":
            lab.switch.carrier(arguments.host, up=arguments.command == "plug")
        case _:
            getattr(lab.host(arguments.host), arguments.command)()
    return 0


def _status(lab: Lab) -> None:
    for host in lab.hosts():
        print(f"{host.name} {host.address} {'on' if host.on else 'off'}")


if __name__ == "__main__":
    sys.exit(main())
