"""Pipelines: the façade that front doors call.

`Pipelines` makes and changes pipelines, and gives jobs to look at, follow and stop. With `start`
it also watches the heads of branches and runs what is due, until `close`; without it (a command on
a data directory that nobody serves) only `begin_run` and `run_now` run anything, and what a
pipeline's creation made due is done by the next `start`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, replace

from gateway.clock import Clock
from gateway.entropy import Entropy
from gateway.errors import Busy, Conflict, Invalid, NotFound, Reason, SidegateError
from gateway.ids import JobId, ProjectName
from gateway.metadata.base import Metadata
from gateway.pipelines.branches import PipelineBranches
from gateway.pipelines.executors.base import Executor
from gateway.pipelines.job import Attempt, Job, JobState, Pipeline, PipelineState
from gateway.pipelines.logs import JobLogs
from gateway.pipelines.provenance import ordered
from gateway.pipelines.runner import Runner
from gateway.pipelines.sidecar import GatewayHost
from gateway.pipelines.spec import Parsed, Spec, parse_spec
from gateway.pipelines.store import PipelineStore
from gateway.pipelines.watch import Watcher, graph, node_of
from gateway.pipelines.worker import Worker
from gateway.versions.model import Move, RepoInfo
from gateway.versions.store import Versions

_LOG = logging.getLogger(__name__)
_PRUNE_STEP = 1000  # moves looked at, before they are forgotten
_AGAIN_S = 1.0  # after a failure of the store


@dataclass(frozen=True, slots=True)
class Applied:
    """A pipeline that was made or changed, and what to tell the author of its spec."""

    pipeline: Pipeline
    spec: Spec
    warnings: tuple[str, ...]


class Pipelines:
    """The pipelines and jobs of a data directory."""

    def __init__(
        self,
        versions: Versions,
        metadata: Metadata,
        clock: Clock,
        entropy: Entropy,
        executor: Executor,
        gateway_host: GatewayHost,
        directory: str,
        *,
        job_listen: str = "127.0.0.1",
        job_advertise: str | None = None,
    ) -> None:
        """Make the façade; nothing runs before `start`, `begin_run` or `run_now`.

        Args:
            versions: of this data directory.
            metadata: its rows.
            clock: gives the times of jobs.
            entropy: gives their ids and keys.
            executor: runs user code.
            gateway_host: opens the gateway of an attempt.
            directory: the data directory; logs of jobs are kept in its `logs`.
            job_listen: the address that gateways of attempts listen on.
            job_advertise: the host that `S3_ENDPOINT` names, where it is another.
        """
        self._versions = versions
        self._branches = PipelineBranches(versions)
        self._clock = clock
        self._executor = executor
        self._store = PipelineStore(metadata)
        self._logs = JobLogs(os.path.join(directory, "logs"))
        self._watcher = Watcher(versions, self._store, clock, entropy)
        worker = Worker(
            versions=versions,
            store=self._store,
            executor=executor,
            host=gateway_host,
            logs=self._logs,
            clock=clock,
            entropy=entropy,
            listen=job_listen,
            advertise=job_advertise,
        )
        self._runner = Runner(versions, self._store, worker, self._logs, clock, self._on_end)
        self._watching: asyncio.Task[None] | None = None
        self._followers: set[asyncio.Task[None]] = set()
        self._recovered: asyncio.Task[list[Job]] | None = None

    # --- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Put away what an earlier process left, then run what is due until `close`."""
        for job in await self._recover():
            self._runner.submit(job)
        self._watching = asyncio.create_task(self._watch(), name="pipelines: moves of heads")

    async def close(self) -> None:
        """Stop watching; cut off the jobs under way, which go back in line."""
        tasks = [*self._followers]
        if self._watching is not None:
            tasks.append(self._watching)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watching = None
        await self._runner.close()

    async def _recover(self) -> list[Job]:
        """Put away what an earlier process left, once; return the jobs that are in line."""
        if self._recovered is None:
            self._recovered = asyncio.create_task(self._recover_once())
        return await asyncio.shield(self._recovered)

    async def _recover_once(self) -> list[Job]:
        self._logs.make()
        await self._executor.clear()
        return await self._runner.recover()

    async def _watch(self) -> None:
        """Look at every move of a head, in order, for ever."""
        caught_up = False
        while True:
            try:
                if not caught_up:
                    await self._catch_up()
                    self._submit(await self._watcher.on_present())
                    caught_up = True
                moves = await self._versions.wait_moves(await self._store.seen())
                await self._look(moves)
            except SidegateError as error:
                _LOG.error("a move of a branch could not be looked at: %s", error.line())
                await asyncio.sleep(_AGAIN_S)
            except Exception:
                _LOG.exception("a fault in looking at moves of branches")
                await asyncio.sleep(_AGAIN_S)

    async def _catch_up(self) -> None:
        """Look at the moves made while nobody watched."""
        last = await self._versions.last_move()
        while (seen := await self._store.seen()) < last:
            moves = await self._versions.wait_moves(seen)
            if not moves:
                return
            await self._look(moves)

    async def _look(self, moves: Sequence[Move]) -> None:
        for move in moves:
            self._submit(await self._watcher.on_move(move))
        if moves:
            await self._store.set_seen(moves[-1].id)
            if moves[0].id // _PRUNE_STEP < (moves[-1].id + 1) // _PRUNE_STEP:
                await self._versions.prune_moves(moves[-1].id)

    def _submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._runner.submit(job)

    def _on_end(self, job: Job) -> None:
        """Let what waited for a job that failed go on without it."""
        if self._watching is not None:
            self._spawn(self._go_on(job))

    async def _go_on(self, job: Job) -> None:
        self._submit(await self._watcher.on_end(job))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)

    # --- pipelines -----------------------------------------------------------------------------

    @staticmethod
    def parse(source: str | bytes, project: str | None = None) -> Parsed:
        """Read and check a spec, and change nothing: what `--dry-run` shows.

        Raises:
            Invalid(BAD_SPEC): with the JSON path of the first problem.
        """
        return parse_spec(source, project)

    async def create(self, source: str, project: str | None = None) -> Applied:
        """Make a pipeline; while this is started, a job on the present heads follows.

        Raises:
            Invalid(BAD_SPEC): the spec is refused, or pipelines would feed each other in a ring.
            Conflict(ALREADY_EXISTS): there is one of that name.
            Conflict(IN_USE): users write to the branch that would be its output.
            NotFound(NO_SUCH_PROJECT | NO_SUCH_REPO | NO_SUCH_BRANCH): an input is not there.
        """
        parsed = parse_spec(source, project)
        spec = parsed.spec
        if await self._find(spec.project, spec.name) is not None:
            raise Conflict(
                Reason.ALREADY_EXISTS,
                f"there is a pipeline {spec.name} already",
                "`sidegate pipeline update` gives it a new spec",
            )
        seen = await self._versions.last_move()
        repo = await self._prepare(spec)
        now = self._clock.now_ms()
        pipeline = Pipeline(
            project=ProjectName(spec.project),
            name=spec.name,
            version=1,
            state=PipelineState.RUNNING,
            spec=spec.text(),
            source=source,
            repo_id=repo.id,
            created_ms=now,
            updated_ms=now,
        )
        await self._store.insert_pipeline(pipeline, seen)
        return await self._applied(pipeline, parsed)

    async def update(self, source: str, project: str | None = None) -> Applied:
        """Give a pipeline a new spec and version; while this is started, a job follows.

        Jobs in line or under way end as they were begun.

        Raises:
            NotFound(NO_SUCH_PIPELINE): there is none of that name.
            Invalid, Conflict, NotFound: as `create`.
        """
        parsed = parse_spec(source, project)
        spec = parsed.spec
        old = await self._store.pipeline(spec.project, spec.name)
        before = parse_spec(old.spec).spec
        repo = await self._prepare(spec)
        new = replace(
            old,
            version=old.version + 1,
            spec=spec.text(),
            source=source,
            repo_id=repo.id,
            updated_ms=self._clock.now_ms(),
        )
        await self._store.replace_pipeline(old, new)
        await self._branches.let_go(before, spec)
        return await self._applied(new, parsed)

    async def apply(self, source: str, project: str | None = None) -> Applied:
        """Create a pipeline, or update it when its spec says something new.

        Raises:
            Invalid, Conflict, NotFound: as `create`.
        """
        parsed = parse_spec(source, project)
        old = await self._find(parsed.spec.project, parsed.spec.name)
        if old is None:
            return await self.create(source, project)
        if old.spec != parsed.spec.text():
            return await self.update(source, project)
        return Applied(old, parsed.spec, parsed.warnings)

    async def list_pipelines(self, project: str | None = None) -> list[Pipeline]:
        """Return all pipelines, or those of a project, by name."""
        return await self._store.pipelines(project)

    async def inspect_pipeline(self, project: str, name: str) -> Pipeline:
        """Return a pipeline.

        Raises:
            NotFound(NO_SUCH_PIPELINE): it is not there.
        """
        return await self._store.pipeline(project, name)

    async def start_pipeline(self, project: str, name: str) -> Pipeline:
        """Let new input commits make jobs again, and run one if the heads have moved meanwhile."""
        pipeline = await self._set_state(project, name, PipelineState.RUNNING)
        await self._look_at_present()
        return pipeline

    async def stop_pipeline(self, project: str, name: str) -> Pipeline:
        """Make no more jobs; those in line or under way are killed."""
        pipeline = await self._set_state(project, name, PipelineState.PAUSED)
        await self._stop_jobs(pipeline, "the pipeline was stopped")
        return pipeline

    async def delete_pipeline(self, project: str, name: str) -> None:
        """Delete a pipeline; its output repo and the records of its jobs stay.

        Raises:
            NotFound(NO_SUCH_PIPELINE): it is not there.
        """
        pipeline = await self._store.pipeline(project, name)
        await self._store.delete_pipeline(pipeline)
        await self._stop_jobs(pipeline, "the pipeline was deleted")
        await self._branches.let_go(parse_spec(pipeline.spec).spec)

    async def _find(self, project: str, name: str) -> Pipeline | None:
        try:
            return await self._store.pipeline(project, name)
        except NotFound:
            return None

    async def _applied(self, pipeline: Pipeline, parsed: Parsed) -> Applied:
        await self._look_at_present()
        return Applied(pipeline, parsed.spec, parsed.warnings)

    async def _look_at_present(self) -> None:
        if self._watching is not None:
            self._submit(await self._watcher.on_present())

    async def _set_state(self, project: str, name: str, state: PipelineState) -> Pipeline:
        old = await self._store.pipeline(project, name)
        new = replace(old, state=state, updated_ms=self._clock.now_ms())
        await self._store.replace_pipeline(old, new)
        return new

    async def _stop_jobs(self, pipeline: Pipeline, reason: str) -> None:
        for job in await self._store.unfinished():
            if (job.project, job.pipeline) == (pipeline.project, pipeline.name):
                await self._stop(job, reason)

    async def _prepare(self, spec: Spec) -> RepoInfo:
        """Check the inputs, make the output, and hold the branches of both."""
        own = (spec.project, spec.name)
        pipelines = await self._store.pipelines()
        others = [each for each in pipelines if (each.project, each.name) != own]
        await self._branches.check_inputs(spec)
        ordered([*graph(others), node_of(spec)])
        return await self._branches.take(spec)

    # --- jobs ----------------------------------------------------------------------------------

    async def begin_run(
        self, project: str, name: str, *, reprocess: bool = False, timeout_s: float | None = None
    ) -> Job:
        """Begin a job on the present heads, automatic commits finished first; do not wait for it.

        A job on the same inputs that is in line or under way is taken instead of a second one. An
        ended one is not: nothing is skipped, with `reprocess` or without.

        Raises:
            NotFound(NO_SUCH_PIPELINE): it is not there.
            Conflict(WRONG_STATE): an input has no commit yet.
        """
        del reprocess  # matters only to what is skipped
        await self._recover()
        pipeline = await self._store.pipeline(project, name)
        job = await self._watcher.run_now(pipeline)
        self._runner.submit(job)
        if timeout_s is not None:
            self._spawn(self._stop_after(job, timeout_s))
        return job

    async def run_now(
        self, project: str, name: str, *, reprocess: bool = False, timeout_s: float | None = None
    ) -> Job:
        """Run a job on the present heads and return it when it has ended."""
        job = await self.begin_run(project, name, reprocess=reprocess, timeout_s=timeout_s)
        return await self.wait_job(job.id)

    async def _stop_after(self, job: Job, timeout_s: float) -> None:
        if not await self._runner.wait(job.id, timeout_s):
            await self._runner.stop(job.id, f"the run took longer than {timeout_s:g} s")

    async def list_jobs(
        self, *, project: str | None = None, pipeline: str | None = None, limit: int = 100
    ) -> list[Job]:
        """Return the newest jobs, newest first: of a pipeline, of a project, or all."""
        if pipeline is not None and project is None:
            raise Invalid(Reason.BAD_ARGUMENT, "a pipeline is named with its project")
        return await self._store.jobs(limit, project, pipeline)

    async def inspect_job(self, job: str) -> Job:
        """Return a job by its id, or by 8 digits or more of it.

        Raises:
            NotFound(NO_SUCH_JOB): there is none.
            Invalid(BAD_ARGUMENT): the digits fit several.
        """
        return await self._store.job(job)

    async def list_attempts(self, job: str) -> list[Attempt]:
        """Return the attempts of a job, oldest first."""
        return await self._store.attempts((await self._store.job(job)).id)

    async def wait_job(self, job: str, timeout_s: float | None = None) -> Job:
        """Wait until a job has ended and return it.

        Raises:
            Busy(TIMEOUT): it has not ended in time; it goes on.
            Conflict(WRONG_STATE): nobody runs it: its data directory is not served.
        """
        found = await self._store.job(job)
        if found.state.ended:
            return found
        if not self._runner.drives(found.id):
            raise Conflict(
                Reason.WRONG_STATE, f"job {found.id} waits for a server", "run: sidegate serve"
            )
        if not await self._runner.wait(found.id, timeout_s):
            raise Busy(Reason.TIMEOUT, f"job {found.id} has not ended after {timeout_s:g} s")
        return await self._store.job(found.id)

    async def stop_job(self, job: str) -> Job:
        """Kill a job: its code ends, its output is dropped; an ended one stays as it is."""
        found = await self._store.job(job)
        await self._stop(found, "it was stopped by hand")
        return await self._store.job(found.id)

    async def _stop(self, job: Job, reason: str) -> None:
        if self._runner.drives(job.id):
            await self._runner.stop(job.id, reason)
        elif not job.state.ended:
            await self._recover()
            now = await self._store.job(job.id)
            if not now.state.ended:
                at = self._clock.now_ms()
                await self._store.move_job(now, JobState.KILLED, now_ms=at, reason=reason)

    async def delete_job(self, job: str) -> None:
        """Delete the record and the logs of an ended job; its output commit stays.

        Raises:
            Conflict(WRONG_STATE): it has not ended.
        """
        found = await self._store.job(job)
        await self._store.delete_job(found)
        await asyncio.to_thread(self._logs.delete, found.id)

    async def job_logs(self, job: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield what a job's code printed; with `follow`, until the job has ended."""
        found: JobId = (await self._store.job(job)).id

        def ended() -> bool:
            return not self._runner.drives(found)

        async for part in self._logs.read(found, ended if follow else None):
            yield part
