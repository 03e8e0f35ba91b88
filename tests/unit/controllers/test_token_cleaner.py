"""When a join token's Secret is due to go."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from controlplane.controllers.token_cleaner import seconds_left
from shared import join
from shared.api.core import Secret

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def secret(expires, **changes):
    tree = join.token_secret("abcdef", "0123456789abcdef", expires)
    return msgspec.convert(tree | changes, Secret)


@pytest.mark.parametrize(
    ("found", "left"),
    [
        pytest.param(secret(NOW + timedelta(hours=1)), 3600.0, id="still-good"),
        pytest.param(secret(NOW), 0.0, id="just-over"),
        pytest.param(secret(NOW - timedelta(days=1)), -86400.0, id="long-over"),
        pytest.param(secret(None), None, id="without-an-end"),
        pytest.param(secret(NOW, type="Opaque"), None, id="another-secret"),
        pytest.param(secret(NOW, metadata={"name": "bootstrap-token-abcdef", "namespace": "default"}), None,
                     id="another-namespace"),
        pytest.param(secret(NOW, data={"expiration": "c29vbg=="}), None, id="unreadable"),
    ],
)  # fmt: skip
def test_seconds_left(found, left):
    assert seconds_left(found, NOW) == left
