"""Makes jobs: looks at each move of a head, and at the present heads when a pipeline is new.

Moves come from the outbox of `versions`, in order. How far a pipeline has seen them is recorded
with each job made for it, so that after a crash every move is looked at and none twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

from gateway.clock import Clock
from gateway.entropy import Entropy
from gateway.errors import Conflict, NotFound, Reason, SidegateError
from gateway.ids import BranchName, CommitId, JobId, RepoId, new_event_id
from gateway.pipelines.job import Job, JobInput, JobState, Pipeline, PipelineState
from gateway.pipelines.provenance import Node, Place, same_inputs
from gateway.pipelines.spec import Spec, parse_spec
from gateway.pipelines.store import PipelineStore
from gateway.pipelines.triggers import due
from gateway.versions.model import Move
from gateway.versions.store import Versions

_LOG = logging.getLogger(__name__)


class Head(NamedTuple):
    """Where a branch that some pipeline reads stands."""

    repo_id: RepoId
    commit: CommitId | None


class Watcher:
    """Makes the jobs that are due."""

    def __init__(
        self, versions: Versions, store: PipelineStore, clock: Clock, entropy: Entropy
    ) -> None:
        self._versions = versions
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self.making = asyncio.Lock()  # one look at a time, or two would make the same job

    async def on_move(self, move: Move) -> list[Job]:
        """Return the jobs made because a head has moved."""
        if move.head is None:
            return []
        async with self.making:
            pipelines = await self._store.pipelines()
            specs = _specs(pipelines)
            heads = await self._heads(specs)
            place = next(
                (
                    each
                    for each, head in heads.items()
                    if (head.repo_id, each.branch) == (move.repo_id, move.branch)
                ),
                None,
            )
            if place is None:
                return []
            heads[place] = Head(move.repo_id, move.head)
            fresh = [each for each in pipelines if await self._store.seen(each) < move.id]
            keys = {each.key for each in fresh}
            return await self._make(pipelines, specs, heads, {place}, move.cause, move.id, keys)

    async def on_end(self, job: Job) -> list[Job]:
        """Return the jobs that waited for this one, which ended without moving its output."""
        if job.state is JobState.SUCCESS:
            return []
        async with self.making:
            pipelines = await self._store.pipelines()
            specs = _specs(pipelines)
            own = next(
                (s for s in specs.values() if (s.project, s.name) == (job.project, job.pipeline)),
                None,
            )
            if own is None:
                return []
            place = _output(own)
            heads = await self._heads(specs)
            seen = await self._versions.last_move()
            return await self._make(pipelines, specs, heads, {place}, job.cause, seen, None)

    async def on_present(self) -> list[Job]:
        """Return the jobs made because present heads have had none."""
        async with self.making:
            pipelines = await self._store.pipelines()
            specs = _specs(pipelines)
            heads = await self._heads(specs)
            seen = await self._versions.last_move()
            return await self._make(pipelines, specs, heads, set(heads), None, seen, None)

    async def run_now(self, pipeline: Pipeline) -> Job:
        """Return a job on the present heads: one that is in line or under way, or a new one.

        Raises:
            Conflict(WRONG_STATE): an input has no commit yet.
            NotFound: an input's repo or branch is gone.
        """
        spec = parse_spec(pipeline.spec).spec
        for each in spec.inputs:
            await self._versions.flush(f"{each.project}/{each.repo}", BranchName(each.branch))
        async with self.making:
            heads: dict[Place, Head] = {}
            for each in spec.inputs:
                place = Place(each.project, each.repo, each.branch)
                heads[place] = head = await self._head(place)
                if head.commit is None:
                    raise Conflict(
                        Reason.WRONG_STATE,
                        f"input {each.name!r} has no commit yet: branch {each.branch} of repo "
                        f"{each.repo} is empty",
                        "put files there first",
                    )
            inputs = _pinned(spec, heads)
            for job in await self._store.unfinished():
                same = (job.project, job.pipeline, job.version)
                if same == (pipeline.project, pipeline.name, pipeline.version) and same_inputs(
                    job.inputs, inputs
                ):
                    return job
            seen = await self._versions.last_move()
            return await self._insert(pipeline, inputs, None, seen)

    # --- making --------------------------------------------------------------------------------

    async def _make(
        self,
        pipelines: list[Pipeline],
        specs: Mapping[str, Spec],
        heads: Mapping[Place, Head],
        moved: set[Place],
        cause: CommitId | None,
        seen: int,
        only: set[str] | None,
    ) -> list[Job]:
        """Make the jobs that are due; of the pipelines in `only`, if that is given."""
        by_key = {each.key: each for each in pipelines}
        new: dict[str, bool] = {}
        for key, spec in specs.items():
            new[key] = (only is None or key in only) and await self._is_new(
                by_key[key], spec, heads
            )
        unfinished = set() if cause is None else await self._under_way(cause, heads)
        nodes = [
            _node(key, spec, running=by_key[key].state is PipelineState.RUNNING)
            for key, spec in specs.items()
        ]
        found = due(
            nodes,
            moved,
            lambda place: place in heads and heads[place].commit is not None,
            unfinished,
            lambda node: new[node.key],
        )
        return [
            await self._insert(by_key[node.key], _pinned(specs[node.key], heads), cause, seen)
            for node in found
        ]

    async def _under_way(self, cause: CommitId, heads: Mapping[Place, Head]) -> set[Place]:
        """Return the outputs that jobs of a cause have yet to move."""
        places: set[Place] = set()
        for job in await self._store.unfinished():
            place = _output(parse_spec(job.spec).spec)
            head = heads.get(place)
            moved = head is not None and head.commit == job.output_commit is not None
            if job.cause == cause and not moved:
                places.add(place)
        return places

    async def _is_new(self, pipeline: Pipeline, spec: Spec, heads: Mapping[Place, Head]) -> bool:
        """Tell whether the latest job of a pipeline was of another version or other inputs."""
        places = [Place(each.project, each.repo, each.branch) for each in spec.inputs]
        if any(place not in heads or heads[place].commit is None for place in places):
            return False
        latest = await self._store.jobs(1, pipeline.project, pipeline.name)
        if not latest or latest[0].version != pipeline.version:
            return True
        if latest[0].created_ms < pipeline.created_ms:
            return True  # of an earlier pipeline of that name
        return not same_inputs(latest[0].inputs, _pinned(spec, heads))

    async def _insert(
        self, pipeline: Pipeline, inputs: tuple[JobInput, ...], cause: CommitId | None, seen: int
    ) -> Job:
        job = Job(
            id=JobId(new_event_id(self._entropy)),
            project=pipeline.project,
            pipeline=pipeline.name,
            version=pipeline.version,
            spec=pipeline.spec,
            state=JobState.CREATED,
            reason="",
            output_commit=None,
            cause=cause or await self._cause(inputs),
            created_ms=self._clock.now_ms(),
            inputs=inputs,
        )
        await self._store.insert_job(job, pipeline, seen)
        return job

    async def _cause(self, inputs: tuple[JobInput, ...]) -> CommitId:
        """Return what set off the newest of the inputs."""
        commits = [await self._versions.inspect_commit(each.commit) for each in inputs]
        return max(commits, key=lambda each: (each.finished_ms or 0, each.id)).cause

    # --- heads ---------------------------------------------------------------------------------

    async def _heads(self, specs: Mapping[str, Spec]) -> dict[Place, Head]:
        """Return where the branches stand that pipelines read; those gone are left out."""
        heads: dict[Place, Head] = {}
        for spec in specs.values():
            for each in spec.inputs:
                place = Place(each.project, each.repo, each.branch)
                if place in heads:
                    continue
                try:
                    heads[place] = await self._head(place)
                except NotFound:
                    continue
        return heads

    async def _head(self, place: Place) -> Head:
        name = f"{place.project}/{place.repo}"
        info = await self._versions.inspect_branch(name, BranchName(place.branch))
        return Head(info.repo_id, info.head)


def _specs(pipelines: list[Pipeline]) -> dict[str, Spec]:
    """Return the specs by key; one that is no longer understood is logged and left out."""
    specs: dict[str, Spec] = {}
    for each in pipelines:
        try:
            specs[each.key] = parse_spec(each.spec).spec
        except SidegateError as error:
            _LOG.error("pipeline %s makes no jobs: %s", each.key, error.line())
    return specs


def _output(spec: Spec) -> Place:
    return Place(spec.project, spec.name, spec.output_branch)


def _node(key: str, spec: Spec, *, running: bool = True) -> Node:
    places = tuple(Place(each.project, each.repo, each.branch) for each in spec.inputs)
    return Node(key, places, _output(spec), running)


def graph(pipelines: list[Pipeline]) -> list[Node]:
    """Return the pipelines as a graph."""
    return [_node(key, spec) for key, spec in _specs(pipelines).items()]


def node_of(spec: Spec) -> Node:
    """Return a pipeline that is not stored yet as a node."""
    return _node(spec.key, spec)


def _pinned(spec: Spec, heads: Mapping[Place, Head]) -> tuple[JobInput, ...]:
    inputs = []
    for each in spec.inputs:
        head = heads[Place(each.project, each.repo, each.branch)]
        if head.commit is None:
            raise TypeError("only inputs with a head are pinned")
        branch = BranchName(each.branch)
        inputs.append(JobInput(each.name, head.repo_id, branch, head.commit, each.s3))
    return tuple(inputs)
