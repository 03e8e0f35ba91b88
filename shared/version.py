"""The version of this program: what ``longboat --version`` prints, nodes report and ``pyproject.toml`` reads."""

VERSION = "0.1.0"
