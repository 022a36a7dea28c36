"""Specs: the two of the product's description as they stand, every form, every refusal."""

import json

import pytest

from gateway import limits
from gateway.errors import Invalid, Reason, TooLarge
from gateway.pipelines.spec import parse_spec

MAIN_JOB = """{
  "pipeline": {"name": "s3_protocol_enabled_pipeline"},
  "input": {"pfs": {"glob": "/", "repo": "labresults", "name": "labresults", "s3": true}},
  "transform": {
    "cmd": ["sh"],
    "stdin": ["set -x && mkdir -p /tmp/result && aws --endpoint-url $S3_ENDPOINT s3 ls && aws --endpoint-url $S3_ENDPOINT s3 cp s3://labresults/ /tmp/result/ --recursive && aws --endpoint-url $S3_ENDPOINT s3 cp /tmp/result/ s3://out --recursive"],
    "image": "pachyderm/ubuntu-with-s3-clients:v0.0.1"
  },
  "s3_out": true
}"""  # noqa: E501

OLDER = """{
  "pipeline": {"name": "edges"},
  "input": {"pfs": {"glob": "/", "repo": "s3://images", "s3": "true"}},
  "transform": {"cmd": ["python3", "/edges.py"], "image": "pachyderm/opencv"},
  "s3Out": true
}"""


def spec(**changes):
    """Return the text of a good spec with some fields changed; None removes one."""
    values = {
        "pipeline": {"name": "p"},
        "input": {"pfs": {"repo": "r", "glob": "/", "s3": True}},
        "transform": {"cmd": ["sh"]},
    } | changes
    return json.dumps({name: value for name, value in values.items() if value is not None})


def pfs(**fields):
    return {"pfs": {"repo": "r", "glob": "/"} | fields}


def refusal(source):
    with pytest.raises(Invalid) as caught:
        parse_spec(source)
    assert caught.value.reason is Reason.BAD_SPEC
    assert caught.value.hint
    return caught.value


def test_the_main_job_is_read_as_it_stands():
    parsed = parse_spec(MAIN_JOB)
    assert parsed.warnings == ()
    got = parsed.spec
    assert (got.project, got.name, got.output_branch) == (
        "default",
        "s3_protocol_enabled_pipeline",
        "master",
    )
    [only] = got.inputs
    assert (only.name, only.repo, only.branch, only.glob, only.s3) == (
        "labresults",
        "labresults",
        "master",
        "/",
        True,
    )
    assert got.s3_out
    assert got.speaks_s3
    assert got.datum_tries == 3
    assert got.transform.stdin_bytes().startswith(b"set -x && mkdir")
    assert got.transform.stdin_bytes().endswith(b"--recursive\n")
    assert any("transform.image" in each for each in got.notices())


def test_the_older_style_is_read_with_warnings():
    parsed = parse_spec(OLDER)
    [only] = parsed.spec.inputs
    assert (only.name, only.repo, only.s3) == ("images", "images", True)
    assert parsed.spec.s3_out
    assert parsed.spec.transform.cmd == ("python3", "/edges.py")
    text = "\n".join(parsed.warnings)
    for path in ("$.s3Out", "$.input.pfs.s3", "$.input.pfs.repo"):
        assert path in text


def test_yaml_json_and_both_spellings_mean_the_same():
    yaml_text = """
# a comment
pipeline:
  name: p
  project: {name: science}
input:
  cross:
  - pfs: {repo: a, glob: "/", s3: true, name: first}
  - pfs:
      repo: b
      branch: dev
      glob: /*
transform:
  cmd: [sh]
  stdin: |
    echo one
    echo two
  workingDir: /pfs
  acceptReturnCode: [0, 3]
  env: {A: "1"}
s3Out: true
outputBranch: results
datumTries: 5
datumTimeout: 1h30m
jobTimeout: 90.5s
reprocessSpec: every_job
"""
    left = parse_spec(yaml_text)
    assert [each for each in left.warnings if "stdin" in each]
    right = parse_spec(left.spec.text())
    assert right.warnings == ()
    assert right.spec.document() == left.spec.document()
    got = right.spec
    assert got.key == "science/p"
    assert [(each.name, each.project, each.branch) for each in got.inputs] == [
        ("first", "science", "master"),
        ("b", "science", "dev"),
    ]
    assert got.transform.stdin == ("echo one", "echo two")
    assert got.transform.accept_return_code == (0, 3)
    assert (got.datum_timeout_s, got.job_timeout_s) == (5400.0, 90.5)
    assert got.transform.env == {"A": "1"}


def test_a_project_from_outside_stands_in():
    assert parse_spec(spec(), "science").spec.inputs[0].project == "science"
    given = spec(pipeline={"name": "p", "project": {"name": "own"}})
    assert parse_spec(given, "science").spec.project == "own"


@pytest.mark.parametrize(
    ("changes", "path", "word"),
    [
        # the request, in order
        ({"pipeline": None}, "$.pipeline", "not named"),
        ({"pipeline": {"name": ""}}, "$.pipeline.name", "empty"),
        ({"pipeline": {"name": "a.b"}}, "$.pipeline.name", "cannot be"),
        ({"pipeline": {"name": "a" * 52}}, "$.pipeline.name", "51"),
        ({"pipeline": "p"}, "$.pipeline", "object"),
        ({"tf_job": {"tf_job": "x"}}, "$.tf_job", "TFJob"),
        ({"service": {"internal_port": 1}, "s3_out": True}, "$.service", "s3_out"),
        ({"spout": {}, "s3_out": True}, "$.spout", "s3_out"),
        ({"spout": {}}, "$.spout", "not offered"),
        ({"enable_stats": True, "s3_out": True}, "$.enable_stats", "s3_out"),
        ({"transform": None}, "$.transform", "what to run"),
        ({"transform": {"image": "x"}}, "$.transform.cmd", "what to run"),
        ({"transform": {"cmd": "sh -c x"}}, "$.transform.cmd", "list"),
        ({"reprocess_spec": "sometimes"}, "$.reprocess_spec", "reprocess"),
        # names, before the nodes
        ({"input": pfs(name="out", s3=True)}, "$.input.pfs.name", "reserved"),
        ({"input": pfs(repo="out")}, "$.input.pfs.repo", "reserved"),
        ({"input": pfs(name=".env")}, "$.input.pfs.name", "reserved"),
        ({"input": pfs(name="a/b")}, "$.input.pfs.name", "cannot be"),
        ({"input": {"cross": [pfs(s3=True), pfs()]}}, "$.input.cross[1].pfs", "taken"),
        # nodes
        ({"input": None}, "$.input", "no input"),
        ({"input": {}}, "$.input", "no input"),
        ({"input": {"cross": [pfs(), {}]}}, "$.input.cross[1]", "no input"),
        ({"input": pfs() | {"cron": {}}}, "$.input", "multiple kinds"),
        ({"input": {"pfs": {"glob": "/"}}}, "$.input.pfs.repo", "no repo"),
        ({"input": pfs(repo="a b")}, "$.input.pfs.repo", "cannot be"),
        ({"input": pfs(repo="a" * 70, name="x")}, "$.input.pfs.repo", "not a repo name"),
        ({"input": pfs(branch="")}, "$.input.pfs.branch", "empty"),
        ({"input": pfs(branch="back-3")}, "$.input.pfs.branch", "label"),
        ({"input": {"pfs": {"repo": "r"}}}, "$.input.pfs.glob", "no glob"),
        ({"input": pfs(s3=True, glob="/*")}, "$.input.pfs.glob", "S3 input"),
        ({"input": {"pfs": {"repo": "r", "s3": True}}}, "$.input.pfs.glob", "S3 input"),
        ({"input": pfs(s3=True, lazy=True)}, "$.input.pfs.lazy", "lazy"),
        ({"input": pfs(s3=True, empty_files=True)}, "$.input.pfs.empty_files", "empty"),
        ({"input": pfs(empty_files=True)}, "$.input.pfs.empty_files", "not offered"),
        ({"input": pfs(commit="a" * 32)}, "$.input.pfs.commit", "branch"),
        ({"input": pfs(glob="/**")}, "$.input.pfs.glob", "**"),
        ({"input": pfs(trigger={"cron": "x"})}, "$.input.pfs.trigger", "not offered"),
        ({"input": {"join": [pfs(s3=True), pfs(name="b")]}}, "$.input.join", "join"),
        ({"input": {"group": [pfs(s3=True)]}}, "$.input.group", "group"),
        ({"input": {"union": [pfs(s3=True)]}}, "$.input.union", "union"),
        (
            {"input": {"union": [{"cross": [pfs(s3=True), pfs(name="b")]}, pfs()]}},
            "$.input.union",
            "union",
        ),
        (
            {"input": {"cross": [pfs(name="a"), {"join": [pfs(s3=True)]}]}},
            "$.input.cross[1].join",
            "join",
        ),
        ({"input": {"union": [pfs(), pfs()]}}, "$.input.union", "not offered yet"),
        ({"input": {"cron": {"spec": "@daily"}}}, "$.input.cron", "not offered yet"),
        ({"input": {"cross": []}}, "$.input.cross", "list"),
        # the pipeline, last
        ({"pipeline": {"name": "-p"}}, "$.pipeline.name", "begins with"),
        ({"output_branch": ""}, "$.output_branch", "empty"),
        ({"output_branch": "a.b"}, "$.output_branch", "not a branch name"),
        ({"pipeline": {"name": "p", "project": {"name": "_"}}}, "$.pipeline.project", "project"),
        ({"input": pfs(repo="p")}, "$.input.pfs.repo", "own output"),
        # types
        ({"s3_out": "yes"}, "$.s3_out", "true or false"),
        ({"datum_tries": -1}, "$.datum_tries", "whole number"),
        ({"datum_timeout": 90}, "$.datum_timeout", "duration"),
        ({"job_timeout": "soon"}, "$.job_timeout", "duration"),
        ({"transform": {"cmd": ["sh", 3]}}, "$.transform.cmd[1]", "text"),
        ({"transform": {"cmd": ["sh"], "env": {"A=B": "c"}}}, "$.transform.env", "variable"),
        ({"transform": {"cmd": ["sh"], "env": ["A"]}}, "$.transform.env", "object"),
        ({"transform": {"cmd": ["a\x00b"]}}, "$.transform.cmd[0]", "NUL"),
        ({"input": ["pfs"]}, "$.input", "object"),
        ({"egress": {"URL": "s3://x"}}, "$.egress", "not offered"),
    ],
)  # fmt: skip
def test_a_refusal_names_its_place(changes, path, word):
    error = refusal(spec(**changes))
    assert error.data["path"] == path
    assert error.message.startswith(path)
    assert word in error.message


def test_unknown_fields_are_refused_with_the_nearest_name():
    error = refusal(spec(s3_uot=True))
    assert error.data["path"] == "$.s3_uot"
    assert "'s3_out'" in error.hint
    error = refusal(spec(input=pfs(blob="/")))
    assert error.data["path"] == "$.input.pfs.blob"
    assert "'glob'" in error.hint
    error = refusal(spec(**{"odd name": 1}))
    assert error.data["path"] == '$["odd name"]'


def test_both_spellings_of_one_field_are_refused():
    assert refusal(spec(s3_out=True, s3Out=True)).data["path"] == "$.s3Out"


@pytest.mark.parametrize(
    "field",
    [
        {"parallelism_spec": {"constant": 4}},
        {"resource_requests": {"memory": "1G"}},
        {"podPatch": "[]"},
        {"autoscaling": True},
        {"reprocess_spec": "read_set"},
        {"enable_stats": True},
        {"transform": {"cmd": ["sh"], "image_pull_secrets": ["x"]}},
        {"transform": {"cmd": ["sh"], "err_cmd": ["true"]}},
        {"transform": {"cmd": ["sh"], "env": {"N": 3}}},
        {"input": pfs(join_on="$1")},
        {"input": pfs(lazy=True)},
    ],
)
def test_fields_without_effect_are_warned_of(field):
    [warning] = parse_spec(spec(**field)).warnings
    assert warning.startswith("$.")


def test_the_first_problem_decides_and_all_are_told():
    error = refusal(
        spec(
            pipeline={"name": "a b"},
            input={"join": [pfs(s3=True, glob="/*", name="out")]},
            s3_out=True,
            spout={},
        )
    )
    paths = [each.split(" ")[0].rstrip(":") for each in error.data["problems"]]
    assert paths == [
        "$.pipeline.name",
        "$.spout",
        "$.input.join[0].pfs.name",
        "$.input.join",
        "$.input.join[0].pfs.glob",
    ]


def test_lines_are_named():
    text = "pipeline: {name: p}\ninput:\n  pfs:\n    repo: r\n    glob: /*\n    s3: true\n"
    error = refusal(text + "transform: {cmd: [sh]}\n")
    assert error.data["line"] == 5
    assert "(line 5)" in error.message


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        (b"\xff\xfe", "UTF-8"),
        ('{"pipeline": }', "line 1, column 14"),
        ('{"pipeline": {"name": "p"}', "line 1"),
        ('{"pipeline": 1, "pipeline": 2}', "twice"),
        ("pipeline: 1\npipeline: 2\n", "twice"),
        ("a: [1\nb: 2", "line 2"),
        ("a: 1\n---\nb: 2\n", "second document"),
        ("a: &x 1\nb: *y\n", "line 2"),
        ("a: {<<: {b: 1}}\n", "plain text"),
        ("? [a]\n: b\n", "plain text"),
        ("[1, 2]", "object"),
        ("just text", "object"),
        ("a: \x07\n", "not YAML"),
        ("a: !!python/object:os.system x\n", "not a field"),
        ("[" * 5000, "nested"),
    ],
)
def test_broken_text_is_refused_with_its_place(source, word):
    assert word in refusal(source).message


def test_the_size_of_a_spec_is_bounded_also_through_aliases():
    with pytest.raises(TooLarge):
        parse_spec(" " * (limits.SPEC_SIZE_MAX + 1))
    bomb = "a0: &a0 [x]\n"
    for level in range(1, 30):
        bomb += f"a{level}: &a{level} [*a{level - 1}, *a{level - 1}, *a{level - 1}]\n"
    with pytest.raises(TooLarge):
        parse_spec(bomb)


def test_yaml_anchors_and_odd_scalars_are_plain_values():
    parsed = parse_spec(
        "pipeline: {name: p}\n"
        "description: 2026-03-01\n"
        "input: {pfs: {repo: &r data, name: *r, glob: /}}\n"
        "transform: {cmd: [sh], env: {D: 2026-03-01}}\n"
    )
    assert parsed.spec.description == "2026-03-01"
    assert parsed.spec.inputs[0].name == "data"
    assert parsed.spec.transform.env == {"D": "2026-03-01"}
