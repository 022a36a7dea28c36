"""The input tree of a pipeline: what it reads, and the rules of S3 inputs. Pure.

Leaves are `pfs` inputs: a branch of a repo, as files (with a glob that cuts it into datums) or as
an S3 bucket (then whole: the glob is `/`). `cross` pairs each datum of one input with each of the
others. `union`, `join`, `group` and `cron` are read as far as the rules need: with an S3 input
below them they are refused for good, without one they are not offered yet.

The order of the rules is Pachyderm's: names of all leaves first, then each node, depth first,
parents before children; what is refused first there is refused first here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway import ids
from gateway.errors import Invalid
from gateway.pipelines.datum import GlobError, compile_glob
from gateway.pipelines.document import child_path
from gateway.pipelines.fields import Field, FieldTable, Reading

RESERVED_NAMES = ("out", ".env")
_INPUT_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,62}")
_SCHEME = "s3://"

INPUT_FIELDS = FieldTable(frozenset({"pfs", "cross", "union", "join", "group", "cron"}))
PFS_FIELDS = FieldTable(
    read=frozenset({
        "project", "name", "repo", "repo_type", "branch", "commit", "glob", "lazy", "empty_files",
        "s3",
    }),
    idle={
        "join_on": "it belongs to join inputs",
        "outer_join": "it belongs to join inputs",
        "group_by": "it belongs to group inputs",
    },
    refused={
        "trigger": "let the input's branch move when the job is due",
        "propagation_spec": "remove it: each commit of an input makes a job",
        "reference": "remove it: inputs are always what they were when the job was made",
    },
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PfsInput:
    """One branch that a pipeline reads."""

    path: str  # in the spec
    name: str  # the job's name for it: a bucket, a folder, a variable
    project: str
    repo: str
    branch: str
    glob: str
    s3: bool
    lazy: bool = False
    empty_files: bool = False
    commit: str = ""
    named: bool = True  # the name was given, and is not just the repo's


@dataclass(frozen=True, slots=True)
class Compound:
    """A node that combines others: cross, union, join or group."""

    path: str
    kind: str
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron input: read only to be refused in its turn."""

    path: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A node that names no kind of input, or several."""

    path: str
    kinds: tuple[str, ...] = field(default=())


Input = PfsInput | Compound | Cron | Malformed


def read_input(reading: Reading, node: Field, project: str) -> Input:
    """Read one node of the tree with all below it; rules come later, in `check_inputs`."""
    found = reading.table(node.value, node.path, INPUT_FIELDS)
    if len(found) != 1:
        return Malformed(node.path, tuple(found))
    [(kind, below)] = found.items()
    if kind == "pfs":
        return _read_pfs(reading, below, project)
    if kind == "cron":
        return Cron(below.path)
    if not isinstance(below.value, list) or not below.value:
        reading.refuse(below.path, f"{kind} needs a list of inputs", "write [ {…}, {…} ]")
        return Compound(below.path, kind, ())
    items = [
        read_input(reading, Field(f"{below.path}[{number}]", item), project)
        for number, item in enumerate(below.value)
    ]
    return Compound(below.path, kind, tuple(items))


def _read_pfs(reading: Reading, node: Field, project: str) -> PfsInput:
    found = reading.table(node.value, node.path, PFS_FIELDS)
    repo = reading.text(found, "repo")
    s3 = reading.flag(found, "s3")
    if repo.startswith(_SCHEME):
        repo = repo.removeprefix(_SCHEME).removesuffix("/")
        path = found["repo"].path
        reading.warn(path, f'write the repo\'s name alone: "{repo}"')
        if "s3" not in found:
            reading.warn(path, 'the scheme does not make it an S3 input; add "s3": true for that')
    if reading.text(found, "repo_type", "user") not in {"", "user"}:
        reading.refuse(found["repo_type"].path, "only user repos can be read", "remove it")
    name = reading.text(found, "name")
    glob = reading.text(found, "glob")
    return PfsInput(
        path=node.path,
        name=name or repo,
        project=reading.text(found, "project") or project,
        repo=repo,
        branch=reading.text(found, "branch", ids.DEFAULT_BRANCH),
        glob=glob,
        s3=s3,
        lazy=reading.flag(found, "lazy"),
        empty_files=reading.flag(found, "empty_files"),
        commit=reading.text(found, "commit"),
        named=bool(name),
    )


def leaves(node: Input) -> Iterator[PfsInput]:
    """Yield the pfs inputs below a node, in the order of the spec."""
    if isinstance(node, PfsInput):
        yield node
    elif isinstance(node, Compound):
        for each in node.inputs:
            yield from leaves(each)


def check_inputs(reading: Reading, node: Input) -> None:
    """Note every breach of the rules, names first, then node by node."""
    _check_names(reading, node)
    _check_node(reading, node)


def _check_names(reading: Reading, node: Input) -> set[str]:
    """Check the names below a node and return them."""
    if isinstance(node, PfsInput):
        _check_name(reading, node)
        return {node.name} if node.name else set()
    if not isinstance(node, Compound):
        return set()
    seen: set[str] = set()
    for each in node.inputs:
        names = _check_names(reading, each)
        if node.kind != "union":  # its alternatives are never there together
            for name in sorted(names & seen):
                reading.refuse(
                    each.path,
                    f"the input name {name!r} is taken by another input",
                    'give one of them another "name"',
                )
        seen |= names
    return seen


def _check_name(reading: Reading, node: PfsInput) -> None:
    where = child_path(node.path, "name" if node.named else "repo")
    if node.name in RESERVED_NAMES:
        why = "is reserved for the job's output" if node.name == "out" else "is reserved"
        if not node.named:
            why += ", and the input is named like its repo"
        reading.refuse(where, f"the input name {node.name!r} {why}", 'give it another "name"')
    elif node.name and (not _INPUT_NAME.fullmatch(node.name) or node.name in {".", ".."}):
        hint = "use letters, digits, '-', '_' and '.', 63 at most"
        reading.refuse(where, f"{node.name!r} cannot be an input's name", hint)


def _check_node(reading: Reading, node: Input) -> None:
    if isinstance(node, PfsInput):
        _check_pfs(reading, node)
    elif isinstance(node, Malformed):
        if node.kinds:
            given = " and ".join(node.kinds)
            hint = 'put them into one "cross"'
            reading.refuse(node.path, f"multiple kinds of input in one place: {given}", hint)
        else:
            hint = 'write {"pfs": {"repo": …, "glob": "/"}}'
            reading.refuse(node.path, "no input is given", hint)
    elif isinstance(node, Cron):
        hint = "commit to a repo from your own scheduler"
        reading.refuse(node.path, "cron inputs are not offered yet", hint)
    else:
        _check_compound(reading, node)
        for each in node.inputs:
            _check_node(reading, each)


def _check_compound(reading: Reading, node: Compound) -> None:
    if node.kind == "cross":
        return
    s3 = next((leaf for leaf in leaves(node) if leaf.s3), None)
    if s3 is not None:
        reading.refuse(
            node.path,
            f"{node.kind} cannot combine S3 inputs ({s3.name!r} at {s3.path} is one): an S3 input "
            f"is one whole bucket, and {node.kind} chooses among files",
            "use cross, or read that input as files",
        )
    else:
        reading.refuse(node.path, f"{node.kind} inputs are not offered yet", "use cross")


def _check_pfs(reading: Reading, node: PfsInput) -> None:
    def refuse(name: str, message: str, hint: str) -> None:
        reading.refuse(child_path(node.path, name), message, hint)

    if not node.repo:
        refuse("repo", "no repo is named", "name the repo to read")
    else:
        _check_ref(reading, node)
    if not node.branch:
        refuse("branch", "the branch is empty", "leave it out for master")
    if not node.glob and not node.s3:
        refuse("glob", "no glob is given", '"/" makes all files one datum, "/*" one for each entry')
    if node.s3 and node.glob != "/":
        given = f"is {node.glob!r}" if node.glob else "is not given"
        refuse(
            "glob", f"the glob of an S3 input {given}", 'an S3 input is whole: write "glob": "/"'
        )
    elif node.glob:
        try:
            compile_glob(node.glob)
        except GlobError as error:
            refuse("glob", f"{node.glob!r}: {error}", 'use "/", "/*", or names with * ? [abc]')
    if node.s3 and node.lazy:
        refuse("lazy", "an S3 input is never downloaded, so it cannot be lazy", "remove lazy")
    elif node.lazy:
        reading.warn(child_path(node.path, "lazy"), "has no effect here: files are laid out whole")
    if node.s3 and node.empty_files:
        refuse("empty_files", "an S3 input has no files to leave empty", "remove empty_files")
    elif node.empty_files:
        hint = "leave it out: files are laid out whole"
        refuse("empty_files", "empty files are not offered here", hint)
    if node.commit:
        hint = "name a branch; a job pins its head"
        refuse("commit", "an input follows a branch, not one commit", hint)


def _check_ref(reading: Reading, node: PfsInput) -> None:
    checks: Mapping[str, tuple[str, object]] = {
        "repo": (node.repo, ids.repo_name),
        "branch": (node.branch, ids.branch_name),
        "project": (node.project, ids.project_name),
    }
    for name, (value, check) in checks.items():
        if not value or not callable(check):
            continue
        try:
            check(value)
        except Invalid as error:
            reading.refuse(child_path(node.path, name), error.message, error.hint)


def input_document(node: Input) -> dict[str, object]:
    """Return a checked tree as the plain values of the normalised spec."""
    if isinstance(node, PfsInput):
        values: dict[str, object] = {
            "project": node.project,
            "name": node.name,
            "repo": node.repo,
            "branch": node.branch,
            "glob": node.glob,
            "s3": node.s3,
        }
        return {"pfs": values}
    if isinstance(node, Compound):
        return {node.kind: [input_document(each) for each in node.inputs]}
    raise TypeError("a checked tree has only pfs and cross nodes")
