"""The documentation is true: generated pages are up to date, and what README and ARCHITECTURE name exists."""

import re
from pathlib import Path

import pytest

from controlplane.apiserver.kinds import actors
from controlplane.apiserver.kinds.table import KINDS
from deploy import api_support_doc, pod_fields_doc, settings_doc

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


def test_what_is_served_is_told_in_the_documentation() -> None:
    assert (ROOT / "docs/api-support.md").read_text() == api_support_doc.document(), "run `just docs`"


def test_what_becomes_of_pod_fields_is_told_in_the_documentation() -> None:
    assert (ROOT / "docs/pod-fields.md").read_text() == pod_fields_doc.document(), "run `just docs`"


def test_every_kind_and_subresource_says_what_acts_on_it() -> None:
    acted = {(kind.resource.group, kind.resource.kind) for kind in KINDS if not kind.inert}
    assert acted == set(actors.ACTORS)
    assert {sub.name for kind in KINDS for sub in kind.subresources} == set(actors.SUBRESOURCES)
