"""Which jobs are due, and the states of a job."""

import itertools

import pytest

from gateway.errors import Conflict, Invalid, Reason
from gateway.pipelines.datum import Datum, Item
from gateway.pipelines.environment import Access, env_file, variables
from gateway.pipelines.job import (
    MOVES,
    RECOVERED,
    Job,
    JobDetail,
    JobInput,
    JobState,
    check_move,
)
from gateway.pipelines.provenance import Node, Place, ordered, same_inputs
from gateway.pipelines.spec import parse_spec
from gateway.pipelines.triggers import due


def place(name):
    return Place("default", name, "master")


def node(name, *inputs, running=True):
    return Node(name, tuple(place(each) for each in inputs), place(name), running)


def names(found):
    return [each.key for each in found]


def always(_):
    return True


def test_a_moved_input_makes_a_job_when_all_inputs_have_heads():
    nodes = [node("p", "a", "b"), node("q", "a"), node("r", "c")]
    assert names(due(nodes, {place("a")}, always)) == ["p", "q"]
    assert names(due(nodes, {place("a")}, lambda each: each != place("b"))) == ["q"]


def test_a_paused_pipeline_and_a_known_set_make_none():
    nodes = [node("p", "a", running=False), node("q", "a")]
    assert names(due(nodes, {place("a")}, always)) == ["q"]
    assert due(nodes, {place("a")}, always, is_new=lambda _: False) == []


def test_a_diamond_runs_once_at_its_foot():
    nodes = [node("d", "b", "c"), node("b", "a"), node("c", "a")]
    assert names(due(nodes, {place("a")}, always)) == ["b", "c"]
    # b has moved, c is under way: d waits; then c moves
    assert due(nodes, {place("b")}, always, {place("c")}) == []
    assert names(due(nodes, {place("c")}, always, set())) == ["d"]


def test_what_reads_a_source_and_what_comes_of_it_waits():
    nodes = [node("b", "a"), node("e", "b"), node("d", "a", "e")]
    assert names(due(nodes, {place("a")}, always)) == ["b"]
    # a pipeline that cannot run holds nothing up
    nodes = [node("b", "a", "void"), node("d", "a", "b")]
    heads = {place("a"), place("b")}
    assert names(due(nodes, {place("a")}, heads.__contains__)) == ["d"]
    # nor does one that is paused
    nodes = [node("b", "a", running=False), node("d", "a", "b")]
    assert names(due(nodes, {place("a")}, always)) == ["d"]


def test_rings_are_refused_by_name():
    with pytest.raises(Invalid) as caught:
        ordered([node("p", "r"), node("q", "p"), node("r", "q")])
    assert caught.value.reason is Reason.BAD_SPEC
    assert "p → r → q → p" in caught.value.message
    assert names(ordered([node("q", "p"), node("p", "a")])) == ["p", "q"]


def test_states_follow_the_table_and_nothing_else():
    for old, new in itertools.product(JobState, JobState):
        if new in MOVES[old]:
            check_move("j", old, new)
        else:
            with pytest.raises(Conflict) as caught:
                check_move("j", old, new)
            assert caught.value.reason is Reason.WRONG_STATE
    assert {state for state in JobState if state.ended} == {
        JobState.SUCCESS,
        JobState.FAILURE,
        JobState.KILLED,
    }
    assert not any(state.ended for state in RECOVERED)


def test_inputs_are_compared_by_name_and_commit():
    one = JobInput("a", "repo", "master", "1" * 32, True)
    other = JobInput("a", "repo", "dev", "1" * 32, True)
    assert same_inputs([one], [other])
    assert not same_inputs([one], [JobInput("a", "repo", "master", "2" * 32, True)])
    assert not same_inputs([one], [JobInput("b", "repo", "master", "1" * 32, True)])


def test_a_detail_survives_its_row_and_a_newer_writer():
    detail = JobDetail(endpoint="http://x", buckets={"out": {"puts": 1}}, exit_code=3)
    values = detail.document() | {"later": 1}
    assert JobDetail.read(values) == detail
    assert JobDetail.read({}) == JobDetail()


def environment(access, **env):
    spec = parse_spec(
        {
            "pipeline": {"name": "p"},
            "input": {
                "cross": [
                    {"pfs": {"repo": "a", "glob": "/", "s3": True, "name": "PATH"}},
                    {"pfs": {"repo": "b", "glob": "/*"}},
                ]
            },
            "transform": {"cmd": ["sh"], "env": env},
        }.__repr__()
        .replace("True", "true")
        .replace("'", '"')
    ).spec
    inputs = (
        JobInput("PATH", "ra", "master", "1" * 32, True),
        JobInput("b", "rb", "master", "2" * 32, False),
    )
    job = Job("j" * 32, "default", "p", 1, "", JobState.RUNNING, "", "c" * 32, "d" * 32, 0)
    job = Job(**{name: getattr(job, name) for name in Job.__slots__} | {"inputs": inputs})
    datum = Datum("e" * 64, (Item("PATH", ""), Item("b", "x")))
    base = {"PATH": "/bin", "LANG": "C", "HOME": "/h", "TMPDIR": "/tmp"}
    return variables(base, "/pfs", spec, job, datum, access)


def test_the_environment_is_exactly_what_is_promised():
    access = Access("http://127.0.0.1:5", "key", "secret")
    assert environment(access, A="1", S3_ENDPOINT="mine", LANG="de") == {
        "PATH": "/bin",  # an input of that name replaces nothing
        "LANG": "de",
        "HOME": "/h",
        "TMPDIR": "/tmp",
        "A": "1",
        "S3_ENDPOINT": "http://127.0.0.1:5",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:5",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "PATH_COMMIT": "1" * 32,
        "b": "/pfs/b/x",
        "b_COMMIT": "2" * 32,
        "PACH_JOB_ID": "j" * 32,
        "PACH_OUTPUT_COMMIT_ID": "c" * 32,
        "PACH_DATUM_ID": "e" * 64,
        "PPS_PIPELINE_NAME": "p",
        "PPS_PROJECT_NAME": "default",
    }
    without = environment(None)
    assert not [name for name in without if name.startswith(("AWS", "S3"))]


def test_the_env_file_is_fit_for_a_shell():
    assert env_file({"B": "it's", "A": "x y"}) == "A='x y'\nB='it'\"'\"'s'\n"
