"""The grammars of bucket names and of refs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Invalid, NotFound
from gateway.versions.refs import BucketName, Ref

C = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "repo", "branch", "project", "commit"),
    [
        ("r", "r", "master", "default", None),
        ("b.r", "b_", "b", "default", None),
        ("b.r.p", "r", "b", "p", None),
        (f"{C}.r", "r", "master", "default", C),
        (f"{C}.b.r", "r", "b", "default", C),
        (f"{C}.b.r.p", "r", "b", "p", C),
        ("Dev_1.Repo-2", "Repo-2", "Dev_1", "default", None),
        (C, C, "master", "default", None),
        ("abcdef01.r", "r", "abcdef01", "default", None),
    ],
)
def test_bucket_names_that_are_read(name, repo, branch, project, commit):
    parsed = BucketName.parse(name)
    assert parsed.repo == (repo if repo != "b_" else "r")
    assert (parsed.branch, parsed.project, parsed.commit) == (branch, project, commit)


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", "a.b.c.d", f"{C}.a.b.c.d", "a/b", "a b", "é", "a" * 256]
)
def test_bucket_names_that_could_never_be(name):
    with pytest.raises(Invalid):
        BucketName.parse(name)


@pytest.mark.parametrize("label", ["back-3", "at-20260301t120000z", f"since-{C}"])
def test_labels_that_are_not_offered_say_so(label):
    with pytest.raises(NotFound, match="not offered"):
        BucketName.parse(f"{label}.master.r")


NAME = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
PROJECT = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}", fullmatch=True)
COMMIT = st.none() | st.from_regex(r"[0-9a-f]{32}", fullmatch=True)


@given(NAME, NAME, PROJECT, COMMIT)
def test_what_is_rendered_is_read_back(repo, branch, project, commit):
    text = ".".join(piece for piece in (commit, branch, repo, project) if piece)
    try:
        parsed = BucketName.parse(text)
    except (Invalid, NotFound):
        return  # the branch has the shape of a label
    assert BucketName.parse(parsed.render()) == parsed


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("r", {"repo": "r", "branch": "master", "project": "default"}),
        ("p/r", {"project": "p", "repo": "r"}),
        ("r@dev", {"branch": "dev"}),
        ("r@dev:a/b c", {"branch": "dev", "path": b"a/b c"}),
        ("r:é", {"branch": "master", "path": "é".encode()}),
        ("r@dev:", {"path": b""}),
        (f"r@{C}", {"commit": C, "branch": None}),
        (f"r@{C}:x@y:z", {"commit": C, "path": b"x@y:z"}),
        ("r@abcdef01", {"commit": "abcdef01", "branch": "abcdef01"}),
        ("r@abcdef0", {"commit": None, "branch": "abcdef0"}),
        ("r@dev^", {"branch": "dev", "back": 1}),
        ("r@dev^3", {"back": 3}),
        ("r@dev^^^", {"back": 3}),
        ("r@dev~2^", {"back": 3}),
        ("r@^", {"branch": "master", "back": 1}),
        (f"r@{C}^2", {"commit": C, "back": 2}),
        (
            "p/r@dev@{2026-03-01T12:00:00Z}:k",
            {"branch": "dev", "time_ms": 1_772_366_400_000, "path": b"k", "project": "p"},
        ),
        ("r@{2026-03-01T13:00:00+01:00}^", {"time_ms": 1_772_366_400_000, "back": 1}),
        ("r@dev@{2026-03-01T12:00:00}", {"time_ms": 1_772_366_400_000}),
    ],
)
def test_refs_that_are_read(text, fields):
    ref = Ref.parse(text)
    for name, value in fields.items():
        assert getattr(ref, name) == value, name


@pytest.mark.parametrize(
    "text",
    ["", "@dev", "r@", "r@dev^x", "a/b/c", "r@dev@{yesterday}", "r@dev{1}", "r@back-3", "r@a b"],
)
def test_refs_that_could_never_be(text):
    with pytest.raises(Invalid):
        Ref.parse(text)
