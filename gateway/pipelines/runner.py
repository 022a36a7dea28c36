"""Drives jobs: each from its turn to its end, one at a time of a pipeline, a few at once in all.

    created → open the output commit → running → datums, each tried up to `datum_tries` times
            → finishing → the output commit is finished and the branch moves → success

Anything else ends in failure or killed, and the output commit is dropped: the output branch has not
moved, and the job says why. When the gateway itself is closed, jobs under way go back to `created`;
after a crash `recover` puts them there, but for one that had finished its output commit already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway import limits
from gateway.clock import Clock
from gateway.errors import NotFound, SidegateError
from gateway.ids import BranchName, JobId
from gateway.pipelines.datum import Datum, compile_glob, cross, items_of
from gateway.pipelines.files import keys_of, two_wrote
from gateway.pipelines.job import Job, JobState
from gateway.pipelines.logs import JobLogs
from gateway.pipelines.provenance import edges
from gateway.pipelines.spec import Spec, parse_spec
from gateway.pipelines.store import PipelineStore
from gateway.pipelines.worker import Errand, Result, Worker
from gateway.versions.model import CommitState
from gateway.versions.store import Versions
from gateway.versions.views import BucketView

_LOG = logging.getLogger(__name__)
_CLOSING: Final = ""  # why a run is ended when the gateway closes: the job goes back in line


class JobFailed(Exception):
    """The job cannot succeed; the text says why."""


@dataclass(slots=True)
class Run:
    """A job that this process drives."""

    job: Job
    task: asyncio.Task[None] | None = None
    stop_reason: str | None = None
    taken: set[bytes] = field(default_factory=set)  # keys that datums wrote
    sequence: int = 0  # of attempts


class Runner:
    """The jobs that this process drives."""

    def __init__(
        self,
        versions: Versions,
        store: PipelineStore,
        worker: Worker,
        logs: JobLogs,
        clock: Clock,
        on_end: Callable[[Job], None],
    ) -> None:
        """Make a runner; `on_end` is told of each job that has ended."""
        self._versions = versions
        self._store = store
        self._worker = worker
        self._logs = logs
        self._clock = clock
        self._on_end = on_end
        self._runs: dict[JobId, Run] = {}
        self._turns: dict[tuple[str, str], asyncio.Lock] = {}
        self._slots = asyncio.Semaphore(limits.JOBS_RUNNING_MAX)
        self._closing = False

    def submit(self, job: Job) -> None:
        """Take a job that is `created` in hand, after the earlier ones of its pipeline."""
        if job.id in self._runs or self._closing:
            return
        run = self._runs[job.id] = Run(job)
        run.task = asyncio.create_task(self._drive(run), name=f"job {job.id}")

    def drives(self, job: JobId) -> bool:
        """Tell whether this process drives a job."""
        return job in self._runs

    async def wait(self, job: JobId, timeout_s: float | None = None) -> bool:
        """Wait until this process has ended a job; tell whether it has in time."""
        run = self._runs.get(job)
        if run is None or run.task is None:
            return True
        done, _ = await asyncio.wait({run.task}, timeout=timeout_s)
        return bool(done)

    async def stop(self, job: JobId, reason: str) -> None:
        """Kill a job that this process drives, and wait until it is put away."""
        run = self._runs.get(job)
        if run is None or run.task is None:
            return
        if run.stop_reason is None:
            run.stop_reason = reason
            run.task.cancel()
        await asyncio.wait({run.task})

    async def close(self) -> None:
        """Cut off what is under way; those jobs go back in line."""
        self._closing = True
        for job in list(self._runs):
            run = self._runs[job]
            if run.stop_reason is None and run.task is not None:
                run.stop_reason = _CLOSING
                run.task.cancel()
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    # --- one job -------------------------------------------------------------------------------

    async def _drive(self, run: Run) -> None:
        turn = self._turns.setdefault((run.job.project, run.job.pipeline), asyncio.Lock())
        try:
            async with turn, self._slots:
                await self._run(run)
        except asyncio.CancelledError:
            await self._cut_off(run)
        except Exception:
            _LOG.exception("job %s could not be driven to its end", run.job.id)
        finally:
            self._runs.pop(run.job.id, None)
            self._logs.grew(run.job.id)
            if run.job.state.ended:
                self._on_end(run.job)

    async def _cut_off(self, run: Run) -> None:
        try:
            await self._put_away(run, JobState.KILLED, run.stop_reason or _CLOSING)
        except SidegateError as error:
            _LOG.error("job %s was cut off and could not be put away: %s", run.job.id, error.line())

    async def _run(self, run: Run) -> None:
        spec = parse_spec(run.job.spec).spec
        try:
            await self._begin(run, spec)
            try:
                async with asyncio.timeout(spec.job_timeout_s):
                    output = await self._all_datums(run, spec)
            except TimeoutError:
                raise JobFailed(
                    f"it ran longer than job_timeout ({spec.job_timeout_s:g} s)"
                ) from None
            await self._finish(run, output)
        except JobFailed as error:
            await self._put_away(run, JobState.FAILURE, str(error))
        except SidegateError as error:
            await self._put_away(run, JobState.FAILURE, error.line())
        except Exception as error:
            _LOG.exception("job %s failed by a fault", run.job.id)
            reason = f"internal error: {type(error).__name__}: {error}"
            await self._put_away(run, JobState.FAILURE, reason)

    async def _begin(self, run: Run, spec: Spec) -> None:
        job = run.job
        run.sequence = len(await self._store.attempts(job.id))
        commit = await self._versions.open_output(
            f"{spec.project}/{spec.name}",
            BranchName(spec.output_branch),
            job.id,
            job.cause,
            edges(job.inputs),
        )
        job.detail.notices = list(spec.notices())
        run.job = await self._store.move_job(
            job, JobState.RUNNING, now_ms=self._clock.now_ms(), output_commit=commit
        )

    async def _all_datums(self, run: Run, spec: Spec) -> BucketView:
        """Run every datum; return the staging layer that holds the output of all."""
        pinned = await self._pin(run.job)
        datums = await self._datums(spec, pinned)
        detail = run.job.detail
        detail.datums = len(datums)
        output: BucketView | None = None
        for datum in datums:
            result = await self._one_datum(run, spec, datum, pinned)
            if result.output is None:
                raise JobFailed(result.reason)
            detail.datums_done += 1
            if len(datums) == 1:
                output = result.output
                continue
            if output is None:
                output = await self._scope(run.job)
            await self._merge(run, result.output, output)
        return output or await self._scope(run.job)

    async def _scope(self, job: Job) -> BucketView:
        if job.output_commit is None:
            raise TypeError("a job that runs has an output commit")
        return await self._versions.open_scope(job.output_commit)

    async def _pin(self, job: Job) -> dict[str, BucketView]:
        """Return a view of each input's commit."""
        pinned: dict[str, BucketView] = {}
        for each in job.inputs:
            try:
                pinned[each.name] = await self._versions.commit_view(each.commit, each.name)
            except NotFound as error:
                raise JobFailed(f"input {each.name!r}: {error.line()}") from error
        return pinned

    async def _datums(self, spec: Spec, pinned: dict[str, BucketView]) -> list[Datum]:
        inputs: list[tuple[str, list[str]]] = []
        for each in spec.inputs:
            glob = compile_glob(each.glob)
            keys: list[str] = []
            if glob.components:
                keys = [
                    key.decode("utf-8", "surrogateescape")
                    async for key in keys_of(self._versions, pinned[each.name])
                ]
            inputs.append((each.name, list(items_of(glob, keys))))
        return cross(f"{spec.project}/{spec.name}", inputs)

    async def _one_datum(
        self, run: Run, spec: Spec, datum: Datum, pinned: dict[str, BucketView]
    ) -> Result:
        """Try a datum until it succeeds, `datum_tries` times at most; return the last result."""
        tries = 0
        while True:
            run.sequence += 1
            tries += 1
            errand = Errand(run.job, spec, datum, run.sequence, pinned, frozenset(run.taken))
            result = await self._worker.attempt(errand)
            detail = run.job.detail
            detail.exit_code = result.exit_code
            detail.endpoint = result.endpoint
            detail.notices += [each for each in result.notices if each not in detail.notices]
            if result.output is not None or tries >= spec.datum_tries:
                _add_traffic(run.job, result)
                if result.output is None and tries > 1:
                    result.reason = f"{result.reason} (tried {tries} times)"
                return result
            again = f"attempt {tries} of {spec.datum_tries} failed: {result.reason}"
            self._logs.say(run.job.id, run.sequence, again)

    async def _merge(self, run: Run, source: BucketView, target: BucketView) -> None:
        """Add what one datum wrote to the job's output; two datums may not write one key."""
        async for key in keys_of(self._versions, source):
            if key in run.taken:
                raise two_wrote(key)
            info = await self._versions.head(source, key)
            await self._versions.copy(source, info, target, key, None)
            run.taken.add(key)
        await self._versions.drop_scope(source)

    async def _finish(self, run: Run, output: BucketView) -> None:
        now = self._clock.now_ms
        run.job = await self._store.move_job(run.job, JobState.FINISHING, now_ms=now())
        if run.job.output_commit is None:
            raise TypeError("a job that runs has an output commit")
        await self._versions.finish_output(run.job.output_commit, output)
        commit = await self._versions.inspect_commit(run.job.output_commit)
        detail = run.job.detail
        detail.objects, detail.bytes = commit.objects, commit.bytes
        detail.logical_bytes, detail.new_bytes = commit.logical_bytes, commit.new_bytes
        run.job = await self._store.move_job(run.job, JobState.SUCCESS, now_ms=now())

    async def _put_away(self, run: Run, state: JobState, reason: str) -> None:
        """Drop a job's output and record its end; or put it back in line when all closes."""
        job = run.job
        if job.state.ended:
            return
        if job.state is JobState.FINISHING and await self._was_committed(job):
            run.job = await self._store.move_job(job, JobState.SUCCESS, now_ms=self._clock.now_ms())
            return
        if job.output_commit is not None:
            await self._versions.drop_output(job.output_commit)
        if state is JobState.KILLED and reason == _CLOSING:
            run.job = await self._store.reset_job(job)
            return
        run.job = await self._store.move_job(job, state, now_ms=self._clock.now_ms(), reason=reason)

    async def _was_committed(self, job: Job) -> bool:
        if job.output_commit is None:
            return False
        try:
            info = await self._versions.inspect_commit(job.output_commit)
        except NotFound:
            return False
        return info.state is CommitState.FINISHED

    # --- after a crash -------------------------------------------------------------------------

    async def recover(self) -> list[Job]:
        """Put away what an earlier process left under way; return the jobs that are in line."""
        waiting: list[Job] = []
        for job in await self._store.unfinished():
            if job.id in self._runs:
                continue
            if job.state is JobState.FINISHING and await self._was_committed(job):
                await self._store.move_job(job, JobState.SUCCESS, now_ms=self._clock.now_ms())
                continue
            if job.output_commit is not None:
                await self._versions.drop_output(job.output_commit)
            waiting.append(await self._store.reset_job(job))
        return waiting


def _add_traffic(job: Job, result: Result) -> None:
    """Add what passed through an attempt's gateway to the job's record."""
    for name, counted in result.traffic.items():
        total = job.detail.buckets.setdefault(name, {})
        for kind, value in counted.items():
            if isinstance(value, list):
                kept = [*total.get(kind, []), *value]
                total[kind] = kept[: limits.WRITTEN_KEYS_MAX]
            else:
                total[kind] = total.get(kind, 0) + value
