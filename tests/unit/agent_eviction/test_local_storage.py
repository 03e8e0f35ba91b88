"""Which pods keep more on the disk than they said."""

from typing import Any

import msgspec
import pytest

from agent.eviction.local_storage import exceeded, limits_folders, limits_storage
from shared.api.pod import Pod


def pod(*containers: dict[str, Any], limit: str | None = None, medium: str = "") -> Pod:
    volume = {"name": "v", "emptyDir": {"medium": medium} | ({"sizeLimit": limit} if limit else {})}
    listed = [
        {"name": f"c{index}", "resources": {"limits": limits}} for index, limits in enumerate(containers or ({},))
    ]
    return msgspec.convert({"metadata": {"name": "p"}, "spec": {"volumes": [volume], "containers": listed}}, Pod)


STORAGE = {"ephemeral-storage": "1Mi"}
MI = 1 << 20


@pytest.mark.parametrize(
    ("found", "folder", "containers", "words"),
    [
        (pod(), MI, {"c0": MI}, ""),
        (pod(limit="1Mi"), MI, {}, ""),
        (pod(limit="1Mi"), MI + 1, {}, 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '),
        (pod(STORAGE), 0, {"c0": MI}, ""),
        (
            pod(STORAGE),
            0,
            {"c0": MI + 1},
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
        ),
        (
            pod(STORAGE, STORAGE),
            MI,
            {"c0": MI, "c1": 1},
            "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
        ),
        (pod(STORAGE, {}), 9 * MI, {"c0": MI, "c1": 9 * MI}, ""),
        (
            pod(STORAGE, {}),
            0,
            {"c0": MI + 1},
            'Container c0 exceeded its local ephemeral storage limit "1Mi". ',
        ),
    ],
)
def test_limits_of_local_storage(found: Pod, folder: int, containers: dict[str, int], words: str) -> None:
    assert exceeded(found, {"v": folder}, containers) == words


@pytest.mark.parametrize(
    ("found", "folders", "storage"),
    [
        (pod(), False, False),
        (pod(limit="1Mi"), True, False),
        (pod(limit="1Mi", medium="Memory"), False, False),
        (pod(STORAGE), False, True),
    ],
)
def test_pods_without_limits_are_not_looked_at(found: Pod, folders: bool, storage: bool) -> None:
    assert (limits_folders(found), limits_storage(found)) == (folders, storage)
