"""The documentation is true: generated pages are up to date, and what README and ARCHITECTURE name exists."""

import re
from pathlib import Path

import pytest

from deploy import settings_doc

ROOT = Path(__file__).parents[2]


def test_settings_page_is_up_to_date():
    assert (ROOT / "docs/settings.md").read_text() == settings_doc.document(), "run `just docs`"


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_named_paths_exist(page):
    text = (ROOT / page).read_text()
    named = re.findall(r"`((?:shared|controlplane|agent|deploy|tests|docs|bench)/[\w./-]*\w)`", text)
    named += re.findall(r"\]\(([\w./-]+\.md)\)", text)
    missing = [path for path in named if "<" not in path and not (ROOT / path).exists()]
    assert not missing


def test_architecture_is_short():
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) < 200
