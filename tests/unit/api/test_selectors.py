"""Label and field selectors: the grammar, its refusals, and what matches."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api import selectors
from shared.api.errors import BadRequest
from shared.api.meta import LabelSelector, LabelSelectorRequirement
from shared.api.selectors import parse_field_selector, parse_label_selector

MATCHES = [
    ("", {}, True),
    ("a=b", {"a": "b"}, True),
    ("a==b", {"a": "c"}, False),
    ("a = b", {"a": "b"}, True),
    ("a=", {"a": ""}, True),
    ("a!=b", {}, True),
    ("a!=b", {"a": "b"}, False),
    ("a in (b,c)", {"a": "c"}, True),
    ("a in (b,c)", {}, False),
    ("a notin (b,c)", {}, True),
    ("a notin (b)", {"a": "b"}, False),
    ("a", {"a": ""}, True),
    ("a", {}, False),
    ("!a", {}, True),
    ("!a", {"a": "x"}, False),
    ("a,b=c,!d", {"a": "1", "b": "c"}, True),
    ("a>1", {"a": "2"}, True),
    ("a<1", {"a": "2"}, False),
    ("a>1", {"a": "x"}, False),
    ("in in (in)", {"in": "in"}, True),
    ("notin=in", {"notin": "in"}, True),
    ("example.com/a in (,b)", {"example.com/a": ""}, True),
    ("a=b,", {"a": "b"}, None),
    ("n in (1,3),n!=3", {"n": "1"}, True),
]


@pytest.mark.parametrize(("text", "labels", "expected"), [m for m in MATCHES if m[2] is not None])
def test_label_selector_matches(text: str, labels: dict[str, str], expected: bool) -> None:
    assert parse_label_selector(text).matches(labels) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a=b,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b', expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
    ],
)
def test_label_selector_refusals_read_as_kubernetes(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_label_selector(text)
    assert caught.value.message == message


@pytest.mark.parametrize("text", ["a in ()", "a>x", "a/b/c", "-a", "a=" + "x" * 64, "a in (-)", "(", "a)"])
def test_label_selector_refuses(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_label_selector(text)


def test_label_selector_of_a_struct_and_of_a_tree_agree() -> None:
    tree = {"matchLabels": {"b": "1"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}]}
    struct = LabelSelector(
        match_labels={"b": "1"},
        match_expressions=(LabelSelectorRequirement(key="a", operator="In", values=("x", "y")),),
    )
    assert selectors.from_label_selector(tree) == selectors.from_label_selector(struct)
    assert str(selectors.from_label_selector(tree)) == "a in (x,y),b=1"


def test_no_label_selector_selects_nothing_and_an_empty_one_all() -> None:
    assert not selectors.from_label_selector(None).matches({"a": "b"})
    assert selectors.from_label_selector({}).matches({"a": "b"})


names = st.from_regex(r"[a-z]([a-z0-9]{0,4}[a-z0-9])?", fullmatch=True)
values = st.from_regex(r"([a-z0-9]{1,4})?", fullmatch=True)
requirements = st.one_of(
    st.builds(lambda k, v: f"{k}={v}", names, values),
    st.builds(lambda k, v: f"{k}!={v}", names, values),
    st.builds(
        lambda k, o, v: f"{k} {o} ({','.join(v)})",
        names,
        st.sampled_from(["in", "notin"]),
        st.lists(values, min_size=1).filter(any),
    ),
    names,
    st.builds(lambda k: f"!{k}", names),
)
texts = st.lists(requirements, max_size=4).map(",".join)
labels = st.dictionaries(names, values, max_size=4)


@given(texts, labels)
def test_canonical_text_parses_back_to_the_same_selector(text: str, have: dict[str, str]) -> None:
    selector = parse_label_selector(text)
    again = parse_label_selector(str(selector))
    assert str(again) == str(selector)
    assert again.matches(have) == selector.matches(have)


@given(st.lists(requirements, min_size=1, max_size=4), labels)
def test_a_selector_is_the_conjunction_of_its_requirements(parts: list[str], have: dict[str, str]) -> None:
    whole = parse_label_selector(",".join(parts)).matches(have)
    assert whole == all(parse_label_selector(part).matches(have) for part in parts)


@given(st.text(max_size=20))
def test_any_text_parses_or_is_a_bad_request(text: str) -> None:
    with contextlib.suppress(BadRequest):
        parse_label_selector(text)


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "b"}, True),
        ("a!=b", {"a": "b"}, False),
        ("a!=b", {}, True),
        ("a=b,c=d", {"a": "b", "c": "d"}, True),
        ("a=b,c=d", {"a": "b"}, False),
        ("a=", {}, True),
        (r"a=b\,c", {"a": "b,c"}, True),
        (r"a=b\=c", {"a": "b=c"}, True),
        (r"a=\\", {"a": "\\"}, True),
        (",a=b,", {"a": "b"}, True),
    ],
)
def test_field_selector_matches(text: str, fields: dict[str, str], expected: bool) -> None:
    assert parse_field_selector(text).matches(fields) is expected


@pytest.mark.parametrize("text", ["a", "a=b=c", r"a=\x", "a,b=c"])
def test_field_selector_refuses(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_field_selector(text)


@given(st.dictionaries(st.from_regex(r"[a-z]+(\.[a-zA-Z]+)?", fullmatch=True), st.text(max_size=8), max_size=3))
def test_field_selector_text_round_trips(fields: dict[str, str]) -> None:
    selector = selectors.FieldSelector([selectors.FieldRequirement(k, v) for k, v in fields.items()])
    assert parse_field_selector(str(selector)).requirements == selector.requirements
    assert selector.matches(fields)
