"""Every Status reason has one class; it goes over the wire and comes back as the same class."""

import pytest

from shared.api import errors


@pytest.mark.parametrize("cls", errors.CLASSES, ids=lambda cls: cls.__name__)
def test_round_trip(cls):
    causes = [errors.Cause("FieldValueInvalid", "spec.x: no", "spec.x")]
    error = cls("no", group="apps", kind="Deployment", name="web", uid="u", causes=causes, retry_after_seconds=3)
    back = errors.from_status(error.to_status())
    assert type(back) is cls
    assert back.to_status() == error.to_status()


def test_reasons_are_distinct():
    assert len({cls.reason for cls in errors.CLASSES}) == len(errors.CLASSES)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ({"code": 409, "reason": "SomethingNew"}, 0, errors.AlreadyExists),
        ({"code": 410}, 0, errors.Gone),
        ({}, 403, errors.Forbidden),
        ({"code": 418}, 0, errors.InternalError),
    ],
    ids=["unknown reason", "no reason", "no body", "unknown code"],
)
def test_unknown_reasons_are_classed_by_code(status, code, expected):
    assert type(errors.from_status(status, code)) is expected
