# Every habit of this project, by name. `just` lists them.

venv := env_var_or_default("LONGBOAT_VENV", justfile_directory() / ".venv")
python := venv / "bin/python"

default:
    @just --list

# what the rest needs: Debian packages (as root) and a virtual environment; done once, then quick
setup:
    @./tests/run setup

# static checks and the fast tests
check:
    ./tests/run check unit contract

# everything that continuous integration runs, or a part: just test integration -k kubectl
test *arguments:
    ./tests/run {{arguments}}

# hosts on this machine, by hand: just lab up 3
lab *arguments: setup
    {{python}} -m tests.lab {{arguments}}

# measure: just bench cluster, just bench process; with --write into docs/benchmarks.md
bench *arguments: setup
    {{python}} -m bench {{arguments}}

# write docs/settings.md, docs/api-support.md and docs/pod-fields.md anew
docs: setup
    {{python}} -m deploy.settings_doc > docs/settings.md.new
    mv docs/settings.md.new docs/settings.md
    {{python}} -m deploy.api_support_doc > docs/api-support.md.new
    mv docs/api-support.md.new docs/api-support.md
    {{python}} -m deploy.pod_fields_doc > docs/pod-fields.md.new
    mv docs/pod-fields.md.new docs/pod-fields.md

# sort imports, mend what can be mended, format
format: setup
    {{venv}}/bin/ruff check --fix .
    {{venv}}/bin/ruff format .
