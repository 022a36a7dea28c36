"""A pipeline spec: what may stand in it, what it means, and what is refused. Pure.

`parse_spec` reads JSON or YAML in either spelling of names, tolerates older forms with warnings,
and checks the rules in Pachyderm's order, so that the same broken spec is refused for the same
reason. `Spec.document` is the normalised form that is stored and shown; parsed again, it is the
same spec without warnings. `docs/pipelines.md` is the reference for users.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway import ids
from gateway.errors import Invalid
from gateway.pipelines.document import load_document
from gateway.pipelines.fields import Field, FieldTable, Reading
from gateway.pipelines.inputs import (
    Input,
    Malformed,
    PfsInput,
    check_inputs,
    input_document,
    leaves,
    read_input,
)

DATUM_TRIES = 3
NAME_SIZE_MAX = 51
REPROCESS = ("until_success", "every_job", "read_set")

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_VARIABLE = re.compile(r"[^=\x00]+")
_SCHEDULER = "there is no cluster to schedule on"
_RESOURCES = "the process executor sets no limits"

SPEC_FIELDS = FieldTable(
    read=frozenset({
        "pipeline", "description", "transform", "input", "s3_out", "output_branch", "datum_tries",
        "datum_timeout", "job_timeout", "reprocess_spec", "service", "spout", "tf_job",
        "enable_stats", "autoscaling",
    }),
    idle={
        "parallelism_spec": "the datums of a job run one after another",
        "resource_requests": _RESOURCES,
        "resource_limits": _RESOURCES,
        "sidecar_resource_limits": _RESOURCES,
        "sidecar_resource_requests": _RESOURCES,
        "scheduling_spec": _SCHEDULER,
        "pod_spec": _SCHEDULER,
        "pod_patch": _SCHEDULER,
        "tolerations": _SCHEDULER,
        "standby": "nothing waits for jobs here",
        "datum_set_spec": "each datum is run by itself",
        "chunk_spec": "each datum is run by itself",
        "hashtree_spec": "the output is one tree",
        "cache_size": "S3 inputs are read in place",
        "max_queue_size": "each datum is run by itself",
        "batch": "each datum is run by itself",
        "metadata": "labels and annotations are Kubernetes'",
        "maximum_expected_uptime": "nothing watches it",
        "determined": "there is no Determined to talk to",
        "salt": "nothing is skipped, so nothing needs to be told apart",
        "update": "use `sidegate pipeline update`",
        "reprocess": "use `sidegate run --reprocess`",
        "dry_run": "use `sidegate pipeline create --dry-run`",
        "spec_commit": "specs are kept by version",
    },
    refused={
        "egress": "copy the output commit with any S3 tool after the job",
        "incremental": "remove it: the output of a job starts empty",
    },
)  # fmt: skip
TRANSFORM_FIELDS = FieldTable(
    read=frozenset({
        "image", "cmd", "stdin", "env", "working_dir", "accept_return_code", "user",
    }),
    idle={
        "err_cmd": "a datum whose code fails is tried again, then fails the job",
        "err_stdin": "a datum whose code fails is tried again, then fails the job",
        "image_pull_secrets": "no image is pulled",
        "secrets": "they are Kubernetes'; pass values in transform.env",
        "debug": "the log holds all that the code prints",
        "dockerfile": "no image is built",
        "build": "no image is built",
        "memory_volume": "/tmp is on disk",
        "datum_batching": "each datum is run by itself",
    },
)  # fmt: skip
_PIPELINE_FIELDS = FieldTable(frozenset({"name", "project"}))
_PROJECT_FIELDS = FieldTable(frozenset({"name"}))


@dataclass(frozen=True, slots=True)
class Transform:
    """The user code: what to run, and with what around it."""

    cmd: tuple[str, ...]
    stdin: tuple[str, ...]  # lines
    env: Mapping[str, str]
    working_dir: str
    accept_return_code: tuple[int, ...]
    image: str
    user: str

    def stdin_bytes(self) -> bytes:
        """Return what the code reads on standard input: each line, ended."""
        return "".join(line + "\n" for line in self.stdin).encode()


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked pipeline spec."""

    project: str
    name: str
    description: str
    transform: Transform
    input: Input
    s3_out: bool
    output_branch: str
    datum_tries: int
    datum_timeout_s: float | None
    job_timeout_s: float | None
    reprocess: str

    @property
    def key(self) -> str:
        """The name people use: `pipeline`, or `project/pipeline` outside the default project."""
        return self.name if self.project == ids.DEFAULT_PROJECT else f"{self.project}/{self.name}"

    @property
    def inputs(self) -> tuple[PfsInput, ...]:
        """The branches it reads, in the order of the spec."""
        return tuple(leaves(self.input))

    @property
    def speaks_s3(self) -> bool:
        """Tell whether its jobs need a gateway: an S3 input, or S3 output."""
        return self.s3_out or any(each.s3 for each in self.inputs)

    def document(self) -> dict[str, object]:
        """Return the normalised spec: snake_case, defaults written out."""
        transform: dict[str, object] = {"cmd": list(self.transform.cmd)}
        if self.transform.stdin:
            transform["stdin"] = list(self.transform.stdin)
        if self.transform.env:
            transform["env"] = dict(self.transform.env)
        if self.transform.working_dir:
            transform["working_dir"] = self.transform.working_dir
        if self.transform.accept_return_code:
            transform["accept_return_code"] = list(self.transform.accept_return_code)
        if self.transform.image:
            transform["image"] = self.transform.image
        if self.transform.user:
            transform["user"] = self.transform.user
        result: dict[str, object] = {
            "pipeline": {"name": self.name, "project": {"name": self.project}},
            "description": self.description,
            "input": input_document(self.input),
            "transform": transform,
            "s3_out": self.s3_out,
            "output_branch": self.output_branch,
            "datum_tries": self.datum_tries,
            "reprocess_spec": self.reprocess,
        }
        if self.datum_timeout_s is not None:
            result["datum_timeout"] = f"{self.datum_timeout_s:.9f}".rstrip("0").rstrip(".") + "s"
        if self.job_timeout_s is not None:
            result["job_timeout"] = f"{self.job_timeout_s:.9f}".rstrip("0").rstrip(".") + "s"
        return result

    def text(self) -> str:
        """Return the normalised spec as JSON on one line."""
        return json.dumps(self.document(), ensure_ascii=False, separators=(",", ":"))

    def notices(self) -> tuple[str, ...]:
        """Return what the process executor will not do as the spec says."""
        notices: list[str] = []
        if self.transform.image:
            notices.append(
                f"transform.image {self.transform.image!r} is ignored: the code runs on this "
                "machine, with its programs"
            )
        if self.transform.user:
            notices.append("transform.user is ignored: the code runs as the user of sidegate")
        return tuple(notices)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A spec that may be used, and what to tell its author."""

    spec: Spec
    warnings: tuple[str, ...]


def parse_spec(source: str | bytes, project: str | None = None) -> Parsed:
    """Read and check one spec; `project` stands in where the spec names none.

    Raises:
        Invalid(BAD_SPEC): with the JSON path and line of the first problem in the message; `data`
            holds `path`, `line` and `problems`, one line for each.
        TooLarge(LIMIT): it is longer than `limits.SPEC_SIZE_MAX`.
    """
    document = load_document(source)
    reading = Reading(document)
    top = reading.table(document.value, "$", SPEC_FIELDS)
    if isinstance(document.value, dict) and "s3Out" in document.value:
        reading.warn("$.s3Out", "is read as s3_out, its name today")
    named, name = _read_name(reading, top)
    project = named or project or ids.DEFAULT_PROJECT
    transform = _read_transform(reading, top)
    tree: Input = Malformed("$.input")
    if "input" in top:
        tree = read_input(reading, top["input"], project)
    spec = Spec(
        project=project,
        name=name,
        description=reading.text(top, "description"),
        transform=transform,
        input=tree,
        s3_out=reading.flag(top, "s3_out"),
        output_branch=reading.text(top, "output_branch", ids.DEFAULT_BRANCH),
        datum_tries=reading.whole(top, "datum_tries", 0) or DATUM_TRIES,
        datum_timeout_s=reading.seconds(top, "datum_timeout"),
        job_timeout_s=reading.seconds(top, "job_timeout"),
        reprocess=reading.text(top, "reprocess_spec") or REPROCESS[0],
    )
    _check_request(reading, spec, top)
    check_inputs(reading, tree)
    _check_pipeline(reading, spec, top)
    reading.finish()
    return Parsed(spec, tuple(reading.warnings))


def _read_name(reading: Reading, top: Mapping[str, Field]) -> tuple[str, str]:
    if "pipeline" not in top:
        return "", ""
    node = top["pipeline"]
    if isinstance(node.value, str):
        reading.refuse(
            node.path, "the name stands in an object", f'write {{"name": {node.value!r}}}'
        )
        return "", node.value
    found = reading.table(node.value, node.path, _PIPELINE_FIELDS)
    project = ""
    if "project" in found:
        below = found["project"]
        if isinstance(below.value, str):
            project = below.value
        else:
            project = reading.text(reading.table(below.value, below.path, _PROJECT_FIELDS), "name")
    return project, reading.text(found, "name")


def _read_transform(reading: Reading, top: Mapping[str, Field]) -> Transform:
    found: Mapping[str, Field] = {}
    if "transform" in top:
        found = reading.table(top["transform"].value, top["transform"].path, TRANSFORM_FIELDS)
    return Transform(
        cmd=_read_cmd(reading, found),
        stdin=_read_stdin(reading, found),
        env=_read_env(reading, found),
        working_dir=reading.text(found, "working_dir"),
        accept_return_code=_read_codes(reading, found),
        image=reading.text(found, "image"),
        user=reading.text(found, "user"),
    )


def _read_cmd(reading: Reading, found: Mapping[str, Field]) -> tuple[str, ...]:
    if "cmd" in found and isinstance(found["cmd"].value, str):
        command = json.dumps(found["cmd"].value, ensure_ascii=False)
        hint = f'write ["sh", "-c", {command}], or the program and its arguments as a list'
        reading.refuse(found["cmd"].path, "cmd is a list of words, not one text", hint)
        return (str(found["cmd"].value),)
    return reading.texts(found, "cmd")


def _read_stdin(reading: Reading, found: Mapping[str, Field]) -> tuple[str, ...]:
    if "stdin" in found and isinstance(found["stdin"].value, str):
        reading.warn(found["stdin"].path, "stdin is a list of lines; the text is read as such")
        return tuple(found["stdin"].value.removesuffix("\n").split("\n"))
    return reading.texts(found, "stdin")


def _read_env(reading: Reading, found: Mapping[str, Field]) -> dict[str, str]:
    if "env" not in found:
        return {}
    path, value = found["env"]
    if not isinstance(value, dict):
        reading.refuse(path, "env is an object of names and texts", 'write {"NAME": "value"}')
        return {}
    names = FieldTable(frozenset(value))
    env: dict[str, str] = {}
    for name, item in value.items():
        below = f"{path}.{name}"
        if not _VARIABLE.fullmatch(name):
            reading.refuse(path, f"{name!r} cannot be a variable's name", "leave out '='")
        if isinstance(item, (bool, int, float)):
            text = json.dumps(item)
            reading.warn(below, f'is read as the text "{text}"; put it in quotes')
            env[name] = text
        else:
            env[name] = reading.text({name: Field(below, item)}, name) if names.read else ""
    return env


def _read_codes(reading: Reading, found: Mapping[str, Field]) -> tuple[int, ...]:
    if "accept_return_code" not in found:
        return ()
    path, value = found["accept_return_code"]
    if not isinstance(value, list):
        reading.refuse(path, "accept_return_code is a list of numbers", "write [0, 3]")
        return ()
    codes = []
    for number, item in enumerate(value):
        below = f"{path}[{number}]"
        code = reading.whole({"code": Field(below, item)}, "code", 0)
        if code > 255:
            reading.refuse(below, f"{code} is not an exit code", "use 0 to 255")
        codes.append(code)
    return tuple(codes)


def _check_request(reading: Reading, spec: Spec, top: Mapping[str, Field]) -> None:
    """Check what concerns the spec as a whole, in Pachyderm's order."""
    _check_request_name(reading, spec, top)
    _check_shape(reading, spec, top)
    if "transform" not in top:
        hint = 'write "transform": {"cmd": […]}'
        reading.refuse("$.transform", "nothing says what to run", hint)
    elif not spec.transform.cmd or not spec.transform.cmd[0]:
        hint = 'write the program and its arguments: ["sh"]'
        reading.refuse(f"{top['transform'].path}.cmd", "nothing says what to run", hint)
    if spec.reprocess not in REPROCESS:
        what = f"{spec.reprocess!r} is not a way to reprocess"
        reading.refuse(top["reprocess_spec"].path, what, f"use one of {', '.join(REPROCESS)}")
    elif spec.reprocess == "read_set":
        what = "jobs are not compared by what they read yet: every job runs"
        reading.warn(top["reprocess_spec"].path, what)
    if reading.flag(top, "autoscaling"):
        reading.warn(top["autoscaling"].path, f"has no effect here: {_SCHEDULER}")


def _check_request_name(reading: Reading, spec: Spec, top: Mapping[str, Field]) -> None:
    if "pipeline" not in top:
        reading.refuse("$.pipeline", "the pipeline is not named", 'write "pipeline": {"name": …}')
        return
    where = f"{top['pipeline'].path}.name"
    if not spec.name:
        reading.refuse(where, "the pipeline's name is empty", "name it")
    elif not _NAME.fullmatch(spec.name):
        hint = "use letters, digits, '-' and '_'"
        reading.refuse(where, f"{spec.name!r} cannot be a pipeline's name", hint)
    elif len(spec.name) > NAME_SIZE_MAX:
        what = f"the pipeline's name has {len(spec.name)} characters, more than {NAME_SIZE_MAX}"
        reading.refuse(where, what, "shorten it")
    _check_named(reading, f"{top['pipeline'].path}.project", spec.project, "project")


def _check_shape(reading: Reading, spec: Spec, top: Mapping[str, Field]) -> None:
    """Check the kinds of pipeline that S3 output cannot go with, and those not offered."""
    if "tf_job" in top:
        hint = "run the job itself and point it at a gateway"
        reading.refuse(top["tf_job"].path, "embedded TFJobs are not offered", hint)
    for kind in ("service", "spout"):
        if kind not in top:
            continue
        if spec.s3_out:
            what = f"a {kind} never ends, and S3 output is committed at the end (s3_out)"
            reading.refuse(top[kind].path, what, f"remove {kind} or s3_out")
        else:
            what = f"a {kind} is not offered yet"
            reading.refuse(top[kind].path, what, "use an ordinary pipeline")
    if reading.flag(top, "enable_stats"):
        path = top["enable_stats"].path
        if spec.s3_out:
            reading.refuse(path, "enable_stats cannot go with s3_out", "remove enable_stats")
        else:
            reading.warn(path, "has no effect here: `job inspect` tells what a job did")


def _check_pipeline(reading: Reading, spec: Spec, top: Mapping[str, Field]) -> None:
    """Check what Pachyderm checks last: names that must hold elsewhere too."""
    where = top["pipeline"].path if "pipeline" in top else "$.pipeline"
    if spec.name and not spec.name[0].isalnum():
        hint = "begin it with a letter or digit"
        reading.refuse(f"{where}.name", f"the name {spec.name!r} begins with a mark", hint)
    if not spec.output_branch:
        hint = "leave it out for master"
        reading.refuse(top["output_branch"].path, "the output branch is empty", hint)
    else:
        _check_named(reading, "$.output_branch", spec.output_branch, "branch")
    for each in spec.inputs:
        if (each.project, each.repo, each.branch) == (spec.project, spec.name, spec.output_branch):
            what = "the pipeline would read its own output and run for ever"
            reading.refuse(f"{each.path}.repo", what, "read another repo or branch")


def _check_named(reading: Reading, path: str, value: str, kind: str) -> None:
    try:
        ids.project_name(value) if kind == "project" else ids.branch_name(value)
    except Invalid as error:
        reading.refuse(path, error.message, error.hint)
