"""What came from what: the set of a job's inputs, and the graph of pipelines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.errors import Invalid, Reason
from gateway.ids import CommitId
from gateway.pipelines.job import JobInput


class Place(NamedTuple):
    """A branch of a repo."""

    project: str
    repo: str
    branch: str


class Node(NamedTuple):
    """A pipeline in the graph: what it reads and where it writes."""

    key: str
    inputs: tuple[Place, ...]
    output: Place
    running: bool = True


def same_inputs(left: Iterable[JobInput], right: Iterable[JobInput]) -> bool:
    """Tell whether two jobs read the same: the same commits under the same names."""
    return {(each.name, each.commit) for each in left} == {
        (each.name, each.commit) for each in right
    }


def edges(inputs: Sequence[JobInput]) -> list[tuple[CommitId, str]]:
    """Return a job's provenance: for each input its commit and its name."""
    return [(each.commit, each.name) for each in inputs]


def ordered(nodes: Sequence[Node]) -> list[Node]:
    """Return pipelines so that each stands after those whose output it reads.

    Raises:
        Invalid(BAD_SPEC): they form a ring; the message names them.
    """
    writers: Mapping[Place, Node] = {node.output: node for node in nodes}
    done: dict[str, Node] = {}
    trail: list[str] = []

    def visit(node: Node) -> None:
        if node.key in done:
            return
        if node.key in trail:
            ring = " → ".join([*trail[trail.index(node.key) :], node.key])
            raise Invalid(
                Reason.BAD_SPEC,
                f"the pipelines would feed each other for ever: {ring}",
                "let one of them read or write another branch",
                path="$.input",
            )
        trail.append(node.key)
        for place in node.inputs:
            if place in writers:
                visit(writers[place])
        trail.pop()
        done[node.key] = node

    for node in nodes:
        visit(node)
    return list(done.values())
