"""The two grammars of names: refs for people, bucket names for S3 clients.

    [project/]repo[@ref][:path]          ref: branch, commit id or prefix, branch^, branch^3,
                                         branch@{2026-03-01T12:00:00Z}
    [[label.]branch.]repo[.project]      label: a commit id

A bare repo means its `master`; the project `default` is implied. Nothing is looked up here: a
parsed name is well formed, and may still name nothing.

Bucket names are read by the number of their pieces. Without a label: `repo`, `branch.repo`,
`branch.repo.project`. A first piece of the shape of a label is one: `label.repo`,
`label.branch.repo`, `label.branch.repo.project`. A branch of such a shape cannot be made, so that
the reading is never in doubt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.errors import Invalid, NotFound, Reason
from gateway.ids import (
    DEFAULT_BRANCH,
    DEFAULT_PROJECT,
    BranchName,
    CommitId,
    ProjectName,
    RepoName,
    branch_name,
    is_event_id,
    is_event_id_prefix,
    is_label,
    project_name,
    repo_name,
)
from gateway.limits import BUCKET_NAME_MAX

_BUCKET = re.compile(r"[A-Za-z0-9._-]+")
_STEPS = re.compile(r"(?P<base>[^@^~{]*)(?:@?\{(?P<time>[^}]*)\})?(?P<steps>(?:\^[0-9]*|~[0-9]*)*)")
_STEP = re.compile(r"[\^~]([0-9]*)")


@dataclass(frozen=True, slots=True)
class BucketName:
    """What a bucket's name says."""

    repo: RepoName
    branch: BranchName = DEFAULT_BRANCH
    project: ProjectName = DEFAULT_PROJECT
    commit: CommitId | None = None
    branch_given: bool = True  # `<commit>.repo` names no branch: any of them will do

    @classmethod
    def parse(cls, text: str) -> BucketName:
        """Read a bucket's name.

        Raises:
            Invalid(BAD_NAME): it could never be the name of a bucket.
            NotFound(NO_SUCH_BUCKET): its label is of a kind that is not offered.
        """
        if len(text) > BUCKET_NAME_MAX or not _BUCKET.fullmatch(text):
            raise _bad(text, "letters, digits, '-', '_' and '.', 255 at most")
        pieces = text.split(".")
        commit: CommitId | None = None
        if len(pieces) > 1 and is_label(pieces[0]):
            if not is_event_id(pieces[0]):
                raise NotFound(
                    Reason.NO_SUCH_BUCKET,
                    f"there is no bucket {text!r}: labels like {pieces[0]!r} are not offered",
                    "use the full commit id as label",
                    name=text,
                )
            commit = CommitId(pieces.pop(0))
        if len(pieces) > 3:
            raise _bad(text, "[[commit.]branch.]repo[.project]")
        try:
            if len(pieces) == 1:
                return cls(repo_name(pieces[0]), commit=commit, branch_given=commit is None)
            project = project_name(pieces[2]) if len(pieces) == 3 else DEFAULT_PROJECT
            return cls(repo_name(pieces[1]), branch_name(pieces[0]), project, commit)
        except Invalid as error:
            raise Invalid(error.reason, f"bucket {text!r}: {error.message}", error.hint) from None

    def render(self) -> str:
        """Return the name that lists show: always with its branch; the default project implied."""
        text = f"{self.branch}.{self.repo}"
        if self.commit is not None:
            text = f"{self.commit}.{text}" if self.branch_given else f"{self.commit}.{self.repo}"
        return text if self.project == DEFAULT_PROJECT else f"{text}.{self.project}"


def _bad(text: str, form: str) -> Invalid:
    return Invalid(Reason.BAD_NAME, f"{text!r} is not a bucket name", f"the form is {form}")


@dataclass(frozen=True, slots=True)
class Ref:
    """What `[project/]repo[@ref][:path]` says.

    Exactly one of `branch` and `commit` is set. `back` counts steps to first parents; `time_ms`
    asks for what the branch was at that time.
    """

    repo: RepoName
    project: ProjectName = DEFAULT_PROJECT
    branch: BranchName | None = DEFAULT_BRANCH
    commit: str | None = None  # 8 to 32 hex digits; a branch of that name goes first
    back: int = 0
    time_ms: int | None = None
    path: bytes | None = None

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Read a ref.

        Raises:
            Invalid(BAD_NAME): a name in it is malformed.
            Invalid(BAD_ARGUMENT): its ancestry or its time is.
        """
        name, colon, path = text.partition(":")
        if "@{" in name and "}" not in name:  # the colons of a time
            inside, brace, after = text.partition("}")
            rest, colon, path = after.partition(":")
            name = inside + brace + rest
        where, at, what = name.partition("@")
        project, slash, repo = where.rpartition("/")
        fields = {
            "repo": repo_name(repo),
            "project": project_name(project) if slash else DEFAULT_PROJECT,
            "path": path.encode("utf-8", "surrogateescape") if colon else None,
        }
        if not at:
            return cls(**fields)  # type: ignore[arg-type]
        found = _STEPS.fullmatch(what)
        if found is None or not (found["base"] or found["steps"] or found["time"]):
            raise Invalid(Reason.BAD_ARGUMENT, f"{text!r}: {what!r} is not a ref", _REF_HINT)
        base = found["base"] or DEFAULT_BRANCH
        steps = [int(step) if step else 1 for step in _STEP.findall(found["steps"])]
        time_ms = None if found["time"] is None else _time_ms(found["time"])
        if is_event_id(base):
            commit: str | None = base
            branch = None
        elif is_event_id_prefix(base):
            commit, branch = base, branch_name(base)
        else:
            commit, branch = None, branch_name(base)
        return cls(**fields, branch=branch, commit=commit, back=sum(steps), time_ms=time_ms)  # type: ignore[arg-type]


_REF_HINT = "use a branch, a commit id, branch^, branch^3 or branch@{2026-03-01T12:00:00Z}"


def _time_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(Reason.BAD_ARGUMENT, f"{text!r} is not a time", _REF_HINT) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
