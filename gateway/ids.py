"""Typed identifiers and the grammar of names.

An id of content (chunk, node, manifest) is 32 raw bytes, keyed by its dedup domain. An id of an
event (commit, job, upload, scope) is a random version-4 UUID as 32 lower-case hex digits
(decisions/0000.1). Names are checked once, where they enter; a value of a named type is valid.
"""

from __future__ import annotations

import re
from typing import NewType

from gateway.entropy import Entropy
from gateway.errors import Invalid, Reason

ProjectName = NewType("ProjectName", str)
RepoName = NewType("RepoName", str)
BranchName = NewType("BranchName", str)

CommitId = NewType("CommitId", str)  # 32 hex
ScopeId = NewType("ScopeId", str)  # 32 hex; names a staging layer
JobId = NewType("JobId", str)  # 32 hex
UploadId = NewType("UploadId", str)  # 32 hex
RepoId = NewType("RepoId", str)  # 32 hex; survives a rename, never reused

ChunkId = NewType("ChunkId", bytes)  # 32 bytes, keyed BLAKE3
ManifestId = NewType("ManifestId", bytes)  # 32 bytes, keyed BLAKE3 (manifest context)
NodeId = NewType("NodeId", bytes)  # 32 bytes, keyed BLAKE3 (tree context)

DEFAULT_PROJECT = ProjectName("default")
DEFAULT_BRANCH = BranchName("master")

_EVENT_ID = re.compile(r"[0-9a-f]{32}")
_EVENT_ID_PREFIX = re.compile(r"[0-9a-f]{8,32}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,50}")
# Labels of bucket names: a branch of such a shape could never be addressed.
_LABEL = re.compile(r"[0-9a-f]{32}|back-[0-9]+|at-[0-9]{8}t[0-9]{6}z|since-.+")


def new_event_id(entropy: Entropy) -> str:
    """Return a fresh random version-4 UUID as 32 lower-case hex digits."""
    raw = bytearray(entropy.random_bytes(16))
    raw[6] = (raw[6] & 0x0F) | 0x40
    raw[8] = (raw[8] & 0x3F) | 0x80
    return raw.hex()


def is_event_id(text: str) -> bool:
    """Tell whether `text` has the shape of a commit, job or upload id."""
    return _EVENT_ID.fullmatch(text) is not None


def is_event_id_prefix(text: str) -> bool:
    """Tell whether `text` could be a shortened id: 8 to 32 lower-case hex digits."""
    return _EVENT_ID_PREFIX.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """Tell whether `text` has the shape of a bucket label, which no branch may have."""
    return _LABEL.fullmatch(text) is not None


def project_name(text: str) -> ProjectName:
    """Check a project's name: letters, digits, `-`, `_`; 51 at most; first a letter or digit."""
    if not _PROJECT.fullmatch(text):
        raise Invalid(
            Reason.BAD_NAME,
            f"{text!r} is not a project name",
            "use letters, digits, '-' and '_', 51 at most, beginning with a letter or digit",
            name=text,
        )
    return ProjectName(text)


def repo_name(text: str) -> RepoName:
    """Check a repo's name: letters, digits, `-`, `_`; 63 at most."""
    if not _NAME.fullmatch(text):
        raise Invalid(
            Reason.BAD_NAME,
            f"{text!r} is not a repo name",
            "use letters, digits, '-' and '_', 63 at most",
            name=text,
        )
    return RepoName(text)


def branch_name(text: str) -> BranchName:
    """Check a branch's name: as a repo's, and not of the shape of a commit id or bucket label."""
    if not _NAME.fullmatch(text):
        raise Invalid(
            Reason.BAD_NAME,
            f"{text!r} is not a branch name",
            "use letters, digits, '-' and '_', 63 at most",
            name=text,
        )
    if is_label(text):
        raise Invalid(
            Reason.BAD_NAME,
            f"a branch cannot be called {text!r}: that shape is a commit id or a bucket label",
            "choose a name that is not 32 hex digits and does not begin with back-, at- or since-",
            name=text,
        )
    return BranchName(text)
