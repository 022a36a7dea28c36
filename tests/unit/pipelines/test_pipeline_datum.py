"""Globs and datums."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import limits
from gateway.errors import TooLarge
from gateway.pipelines.datum import GlobError, compile_glob, cross, items_of

KEYS = ["a.csv", "b/1.csv", "b/2.txt", "b/c/3.csv", "d/1.csv", "e[1]", "f/"]


@pytest.mark.parametrize(
    ("glob", "items"),
    [
        ("/", [""]),
        ("/*", ["a.csv", "b", "d", "e[1]", "f"]),
        ("*", ["a.csv", "b", "d", "e[1]", "f"]),
        ("/*/*", ["b/1.csv", "b/2.txt", "b/c", "d/1.csv"]),
        ("/*/*.csv", ["b/1.csv", "d/1.csv"]),
        ("/[a-c]*", ["a.csv", "b"]),
        ("/[!a-c]*", ["d", "e[1]", "f"]),
        ("/?", ["b", "d", "f"]),
        ("/b", ["b"]),
        ("/e\\[1\\]", ["e[1]"]),
        ("/nothing", []),
    ],
)
def test_a_glob_cuts_keys_into_items(glob, items):
    assert list(items_of(compile_glob(glob), KEYS)) == items


def test_the_whole_is_an_item_even_when_empty():
    assert list(items_of(compile_glob("/"), [])) == [""]


@pytest.mark.parametrize("glob", ["/**", "/a//b", "/../x", "/[ab", "/{a,b}", "/[]", "/[z-a]"])
def test_globs_that_are_not_understood(glob):
    with pytest.raises(GlobError):
        compile_glob(glob)


@given(st.text(alphabet="ab[]!^-\\*?./&~|", max_size=8), st.text(alphabet="ab/.-", max_size=8))
def test_any_glob_compiles_or_is_refused(glob, key):
    try:
        compiled = compile_glob(glob)
    except GlobError:
        return
    item = compiled.item_of(key)
    assert item is None or key.startswith(item)


def test_a_cross_pairs_everything_and_ids_are_stable():
    datums = cross("p", [("a", [""]), ("b", ["1", "2"])])
    assert [tuple(datum.items) for datum in datums] == [
        (("a", ""), ("b", "1")),
        (("a", ""), ("b", "2")),
    ]
    assert len({datum.id for datum in datums}) == 2
    assert datums[0].id == cross("p", [("b", ["1"]), ("a", [""])])[0].id
    assert datums[0].id != cross("q", [("a", [""]), ("b", ["1"])])[0].id
    assert len(datums[0].id) == 64
    assert cross("p", [("a", [""]), ("b", [])]) == []


def test_the_number_of_datums_is_bounded():
    many = [str(number) for number in range(limits.DATUMS_MAX // 2 + 1)]
    with pytest.raises(TooLarge):
        cross("p", [("a", many), ("b", ["1", "2"])])
