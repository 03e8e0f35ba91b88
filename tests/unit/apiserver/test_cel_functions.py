"""Functions of expressions in the words of cel-go and of Kubernetes' own libraries."""

from __future__ import annotations

import pytest

from controlplane.apiserver.cel.engine import Budget, CelError, compiled

DIGEST = "sha256:" + "0123456789abcdef" * 4

TRUE = [
    "'%s'.format([ip('10.0.0.1').family() == 4]) == 'true'",
    "'%s %s'.format([1.5, 2.0]) == '1.5 2'",
    "'%s'.format([duration('1h30m')]) == '5400s'",
    "'%s'.format([timestamp('2026-05-01T00:00:00Z')]) == '2026-05-01T00:00:00Z'",
    "'%s'.format([b'abc']) == 'abc' && '%x'.format([b'abc']) == '616263'",
    "'%s'.format([[1, 'a', null]]) == '[1, a, null]' && '%s'.format([{'b': 1, 'a': 2}]) == '{a: 2, b: 1}'",
    "'%d%%'.format([50]) == '50%' && '%b'.format([5]) == '101'",
    "'%X'.format([255]) == 'FF' && '%o'.format([8]) == '10'",
    "'%.2f'.format([1.005]) == '1.00' && '%f'.format([double('Infinity')]) == 'Infinity'",
    "string(ip('10.0.0.1')) == '10.0.0.1' && string(cidr('10.0.0.0/8')) == '10.0.0.0/8'",
    "string(ip('10.0.0.1')) + string(1) == '10.0.0.11'",
    "image('registry.example:5000/a/b:1').registry() == 'registry.example:5000'",
    "image('registry.example:5000/a/b:1').repository() == 'a/b' && image('a/b').tag() == 'latest'",
    "image('busybox').repository() == 'library/busybox' && image('busybox').registry() == 'index.docker.io'",
    f"image('busybox@{DIGEST}').containsDigest() && image('busybox@{DIGEST}').digest() == '{DIGEST}'",
    f"image('busybox:1@{DIGEST}').identifier() == '{DIGEST}' && image('busybox:1').identifier() == '1'",
    "isImage('localhost/ab:1') && !isImage('a:b:c') && !isImage('') && !isImage('UPPER') && !isImage('a@sha256:1')",
    "'abc'.indexOf('c', 1) == 2 && 'abcabc'.lastIndexOf('abc', 2) == 0 && 'abc'.lastIndexOf('c', 3) == -1",
]  # fmt: skip


@pytest.mark.parametrize("expression", TRUE)
def test_it_holds(expression: str) -> None:
    assert compiled(expression, ()).evaluate({}, Budget()) is True


@pytest.mark.parametrize(
    "expression",
    [
        "'%d'.format(['a'])", "'%f'.format(['a'])", "'%s %s'.format([1])", "'%z'.format([1])", "'%x'.format([true])",
        "'abc'.indexOf('a', -1)", "'abc'.lastIndexOf('a', -1)",
        "[9223372036854775807].map(x, [x, x, x]).map(l, l.sum()) == []",
        "image('a:b:c').tag()", "ip('10.0.0.1').tag() == ''",
    ],
)  # fmt: skip
def test_it_is_an_error(expression: str) -> None:
    with pytest.raises(CelError):
        compiled(expression, ()).evaluate({}, Budget())
