# Every habit of this project, by name. `just` lists them.

venv := env_var_or_default("LONGBOAT_VENV", justfile_directory() / ".venv")

default:
    @just --list

# static checks and the fast tests
check:
    ./tests/run check unit contract

# everything that continuous integration runs
test *arguments:
    ./tests/run {{arguments}}

# hosts on this machine, by hand: just lab up 3
lab *arguments:
    {{venv}}/bin/python -m tests.lab {{arguments}}

# measure, and write docs/benchmarks.md
bench *arguments:
    {{venv}}/bin/python -m bench {{arguments}}

# write docs/settings.md anew
docs:
    {{venv}}/bin/python -m deploy.settings_doc > docs/settings.md

format:
    {{venv}}/bin/ruff check --fix .
    {{venv}}/bin/ruff format .
