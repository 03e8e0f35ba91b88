"""What another API server is told of who asks."""

from __future__ import annotations

from multidict import CIMultiDict

from controlplane.apiserver.aggregation.handler import identify
from controlplane.apiserver.identity import User


def test_everything_known_of_the_user_is_told() -> None:
    headers: CIMultiDict[str] = CIMultiDict()
    extra = (("example.com/a b%", ("1", "2")), ("plain-key", ("3",)))
    identify(headers, User("jane", ("dev", "ops"), "7", extra))
    assert list(headers.items()) == [
        ("X-Remote-User", "jane"), ("X-Remote-Uid", "7"), ("X-Remote-Group", "dev"), ("X-Remote-Group", "ops"),
        ("X-Remote-Extra-example.com%2Fa%20b%25", "1"), ("X-Remote-Extra-example.com%2Fa%20b%25", "2"),
        ("X-Remote-Extra-plain-key", "3"),
    ]  # fmt: skip
