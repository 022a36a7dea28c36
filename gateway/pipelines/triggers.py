"""Which jobs are due when a branch has moved. Pure.

A pipeline is due when one of its inputs has moved and all of them have a head. One that reads two
branches which the same change will move (a diamond: A feeds B and C, D reads both) waits until the
last of them has moved, so that it runs once on what belongs together: while a job of the same cause
is under way or due upstream of another of its inputs, it is not due.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from gateway.pipelines.provenance import Node, Place, ordered


def due(
    nodes: Sequence[Node],
    moved: Collection[Place],
    has_head: Callable[[Place], bool],
    unfinished: Collection[Place] = (),
    is_new: Callable[[Node], bool] = lambda _: True,
) -> list[Node]:
    """Return the pipelines to make jobs for, those upstream first.

    `unfinished` are the outputs of jobs of the same cause that have not ended; `is_new` tells
    whether a pipeline's present inputs differ from those of its latest job.
    """
    expected = set(unfinished)
    result: list[Node] = []
    for node in ordered(nodes):
        waits = any(place in expected for place in node.inputs)
        touched = waits or any(place in moved for place in node.inputs)
        if not (node.running and touched):
            continue
        if not all(place in expected or has_head(place) for place in node.inputs):
            continue
        if not waits:
            if not is_new(node):
                continue
            result.append(node)
        expected.add(node.output)
    return result
