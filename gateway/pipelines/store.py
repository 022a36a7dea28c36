"""The rows of pipelines, jobs and attempts; every change is one unit of work.

A job is inserted together with its inputs and with how far its pipeline has seen the moves of
heads, so that a crash neither loses a job nor makes one twice. A change of a job's state expects
the state it was read in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.errors import Conflict, Corrupt, Invalid, NotFound, Reason
from gateway.ids import (
    BranchName,
    CommitId,
    JobId,
    ProjectName,
    RepoId,
    ScopeId,
    is_event_id_prefix,
)
from gateway.metadata.base import (
    Delete,
    DeleteWhere,
    Insert,
    Metadata,
    Op,
    Put,
    Row,
    Snapshot,
    Unit,
    Update,
    Value,
)
from gateway.metadata.schema import ATTEMPT, COUNTER, JOB, JOB_INPUT, PIPELINE
from gateway.pipelines.job import (
    RECOVERED,
    UNFINISHED,
    Attempt,
    AttemptState,
    Job,
    JobDetail,
    JobInput,
    JobState,
    Pipeline,
    PipelineState,
    check_move,
)

_SEEN = "pipelines"  # counter: moves up to here have been looked at


class PipelineStore:
    """Reads and writes the rows of this package."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    # --- pipelines -----------------------------------------------------------------------------

    async def pipelines(self, project: str | None = None) -> list[Pipeline]:
        """Return all pipelines, or those of a project, by name."""
        async with self._metadata.snapshot() as rows:
            found = await rows.scan(PIPELINE, () if project is None else (project,))
        return [_pipeline_of(row) for row in found]

    async def pipeline(self, project: str, name: str) -> Pipeline:
        """Return a pipeline.

        Raises:
            NotFound(NO_SUCH_PIPELINE): it is not there.
        """
        async with self._metadata.snapshot() as rows:
            row = await rows.get(PIPELINE, (project, name))
        if row is None:
            raise NotFound(
                Reason.NO_SUCH_PIPELINE,
                f"there is no pipeline {name} in project {project}",
                "`sidegate pipeline list` shows those there are",
            )
        return _pipeline_of(row)

    async def insert_pipeline(self, pipeline: Pipeline, seen: int) -> None:
        """Add a pipeline that has seen the moves of heads up to `seen`.

        Raises:
            Conflict(ALREADY_EXISTS): there is one of that name.
        """
        row = _pipeline_row(pipeline)
        unit = Unit([Insert(PIPELINE, row), _put_counter(_counter_name(pipeline), seen)])
        await self._metadata.commit(unit)

    async def replace_pipeline(self, old: Pipeline, new: Pipeline) -> None:
        """Change a pipeline's row.

        Raises:
            Conflict(RACED): it is not `old` any more.
        """
        row = _pipeline_row(new)
        key = (old.project, old.name)
        values = {name: value for name, value in row.items() if name not in PIPELINE.key}
        expect: dict[str, Value] = {"version": old.version, "state": str(old.state)}
        await self._metadata.commit(Unit([Update(PIPELINE, key, values, expect=expect)]))

    async def delete_pipeline(self, pipeline: Pipeline) -> None:
        """Remove a pipeline's row; its jobs stay until they are deleted."""
        unit = Unit([
            Delete(PIPELINE, (pipeline.project, pipeline.name)),
            Delete(COUNTER, (_counter_name(pipeline),)),
        ])  # fmt: skip
        await self._metadata.commit(unit)

    # --- moves of heads ------------------------------------------------------------------------

    async def seen(self, pipeline: Pipeline | None = None) -> int:
        """Return how far the moves of heads have been looked at, by all or by one pipeline."""
        return await self._counter(_SEEN if pipeline is None else _counter_name(pipeline))

    async def _counter(self, name: str) -> int:
        async with self._metadata.snapshot() as rows:
            row = await rows.get(COUNTER, (name,))
        return 0 if row is None else _number(row["value"])

    async def set_seen(self, move: int) -> None:
        """Note that all moves up to this one have been looked at."""
        await self._metadata.commit(Unit([_put_counter(_SEEN, move)]))

    # --- jobs ----------------------------------------------------------------------------------

    async def insert_job(self, job: Job, pipeline: Pipeline, seen: int) -> None:
        """Add a job with its inputs; its pipeline has now seen the moves up to `seen`."""
        unit = Unit([Insert(JOB, _job_row(job)), _put_counter(_counter_name(pipeline), seen)])
        for each in job.inputs:
            row: dict[str, Value] = {
                "job": job.id,
                "name": each.name,
                "repo": each.repo_id,
                "branch": each.branch,
                "commit_id": each.commit,
                "s3": int(each.s3),
            }
            unit.add(Insert(JOB_INPUT, row))
        await self._metadata.commit(unit)

    async def job(self, name: str) -> Job:
        """Return a job by its id, or by 8 digits or more that only it begins with.

        Raises:
            NotFound(NO_SUCH_JOB): there is none.
            Invalid(BAD_ARGUMENT): several begin so.
        """
        if is_event_id_prefix(name):
            async with self._metadata.snapshot() as rows:
                found = await rows.scan(JOB, start=name, until=name + "g", limit=2)
                if len(found) == 1:
                    return await _job_of(rows, found[0])
            if found:
                hint = "give more digits"
                raise Invalid(Reason.BAD_ARGUMENT, f"several jobs begin with {name}", hint)
        hint = "`sidegate job list` shows those there are"
        raise NotFound(Reason.NO_SUCH_JOB, f"there is no job {name}", hint)

    async def jobs(
        self, limit: int, project: str | None = None, pipeline: str | None = None
    ) -> list[Job]:
        """Return the newest jobs, newest first: of a pipeline, a project, or all."""
        async with self._metadata.snapshot() as rows:
            found: list[Row] = []
            if project is not None and pipeline is not None:
                found += await rows.scan(
                    JOB, (project, pipeline), index="by_pipeline", reverse=True, limit=limit
                )
            else:
                for state in JobState:
                    found += await rows.scan(
                        JOB,
                        (str(state),),
                        index="by_state",
                        reverse=True,
                        limit=limit if project is None else None,
                    )
                found = [row for row in found if project in {None, row["project"]}]
                found.sort(key=lambda row: (_number(row["created"]), _text(row["id"])))
                found = found[::-1][:limit]
            return [await _job_of(rows, row) for row in found]

    async def unfinished(self) -> list[Job]:
        """Return the jobs that have not ended, oldest first."""
        async with self._metadata.snapshot() as rows:
            found: list[Row] = []
            for state in UNFINISHED:
                found += await rows.scan(JOB, (str(state),), index="by_state")
            jobs = [await _job_of(rows, row) for row in found]
        return sorted(jobs, key=lambda job: (job.created_ms, job.id))

    async def move_job(
        self,
        job: Job,
        state: JobState,
        *,
        now_ms: int,
        reason: str = "",
        output_commit: CommitId | None = None,
    ) -> Job:
        """Change a job's state, with its detail as it stands, and return the job as it is now.

        Raises:
            Conflict(WRONG_STATE | RACED): the job may not become that, or changed meanwhile.
        """
        check_move(job.id, job.state, state)
        new = replace(
            job,
            state=state,
            reason=reason,
            output_commit=output_commit or job.output_commit,
            started_ms=now_ms if state is JobState.RUNNING else job.started_ms,
            finished_ms=now_ms if state.ended else None,
        )
        await self._update_job(job, new)
        return new

    async def reset_job(self, job: Job) -> Job:
        """Put a job that was cut off back in line; its attempts are dropped."""
        if job.state not in RECOVERED:
            return job
        new = replace(job, state=JobState.CREATED, output_commit=None, started_ms=None)
        new = replace(new, detail=JobDetail())
        drops: list[Op] = [
            Update(
                ATTEMPT,
                (each.job, each.datum, each.number),
                {"state": str(AttemptState.DROPPED), "reason": "it was cut off"},
            )
            for each in await self.attempts(job.id)
            if each.state is AttemptState.RUNNING
        ]
        await self._update_job(job, new, drops)
        return new

    async def _update_job(self, old: Job, new: Job, more: Sequence[Op] = ()) -> None:
        row = _job_row(new)
        names = ("state", "reason", "output_commit", "started", "finished", "detail")
        values = {name: row[name] for name in names}
        update = Update(JOB, (old.id,), values, expect={"state": str(old.state)})
        await self._metadata.commit(Unit([update, *more]))

    async def delete_job(self, job: Job) -> None:
        """Remove an ended job with all its rows.

        Raises:
            Conflict(WRONG_STATE): it has not ended.
        """
        if not job.state.ended:
            hint = "stop it first"
            raise Conflict(Reason.WRONG_STATE, f"job {job.id} is {job.state}", hint)
        unit = Unit([
            Delete(JOB, (job.id,)),
            DeleteWhere(JOB_INPUT, (job.id,)),
            DeleteWhere(ATTEMPT, (job.id,)),
        ])  # fmt: skip
        await self._metadata.commit(unit)

    # --- attempts ------------------------------------------------------------------------------

    async def put_attempt(self, attempt: Attempt) -> None:
        """Add or replace the row of an attempt."""
        row: dict[str, Value] = {
            "job": attempt.job,
            "datum": attempt.datum,
            "number": attempt.number,
            "state": str(attempt.state),
            "scope": attempt.scope,
            "exit_code": attempt.exit_code,
            "reason": attempt.reason,
            "started": attempt.started_ms,
            "finished": attempt.finished_ms,
        }
        await self._metadata.commit(Unit([Put(ATTEMPT, row)]))

    async def attempts(self, job: JobId) -> list[Attempt]:
        """Return the attempts of a job, oldest first."""
        async with self._metadata.snapshot() as rows:
            found = await rows.scan(ATTEMPT, (job,))
        attempts = [_attempt_of(row) for row in found]
        return sorted(attempts, key=lambda each: (each.started_ms, each.datum, each.number))


def _counter_name(pipeline: Pipeline) -> str:
    return f"pipelines/{pipeline.project}/{pipeline.name}"


def _put_counter(name: str, value: int) -> Put:
    return Put(COUNTER, {"name": name, "value": value})


def _pipeline_row(pipeline: Pipeline) -> dict[str, Value]:
    return {
        "project": pipeline.project,
        "name": pipeline.name,
        "version": pipeline.version,
        "state": str(pipeline.state),
        "spec": pipeline.spec,
        "source": pipeline.source,
        "repo": pipeline.repo_id,
        "created": pipeline.created_ms,
        "updated": pipeline.updated_ms,
    }


def _pipeline_of(row: Row) -> Pipeline:
    return Pipeline(
        project=ProjectName(_text(row["project"])),
        name=_text(row["name"]),
        version=_number(row["version"]),
        state=PipelineState(_text(row["state"])),
        spec=_text(row["spec"]),
        source=_text(row["source"]),
        repo_id=RepoId(_text(row["repo"])),
        created_ms=_number(row["created"]),
        updated_ms=_number(row["updated"]),
    )


def _job_row(job: Job) -> dict[str, Value]:
    return {
        "id": job.id,
        "project": job.project,
        "pipeline": job.pipeline,
        "version": job.version,
        "spec": job.spec,
        "state": str(job.state),
        "reason": job.reason,
        "output_commit": job.output_commit,
        "cause": job.cause,
        "created": job.created_ms,
        "started": job.started_ms,
        "finished": job.finished_ms,
        "detail": json.dumps(job.detail.document(), ensure_ascii=False, separators=(",", ":")),
    }


async def _job_of(rows: Snapshot, row: Row) -> Job:
    output, started, finished = row["output_commit"], row["started"], row["finished"]
    detail: dict[str, Any] = json.loads(_text(row["detail"]))
    inputs = await rows.scan(JOB_INPUT, (row["id"],))
    return Job(
        id=JobId(_text(row["id"])),
        project=ProjectName(_text(row["project"])),
        pipeline=_text(row["pipeline"]),
        version=_number(row["version"]),
        spec=_text(row["spec"]),
        state=JobState(_text(row["state"])),
        reason=_text(row["reason"]),
        output_commit=None if output is None else CommitId(_text(output)),
        cause=CommitId(_text(row["cause"])),
        created_ms=_number(row["created"]),
        started_ms=None if started is None else _number(started),
        finished_ms=None if finished is None else _number(finished),
        detail=JobDetail.read(detail),
        inputs=tuple(_input_of(each) for each in inputs),
    )


def _input_of(row: Row) -> JobInput:
    return JobInput(
        name=_text(row["name"]),
        repo_id=RepoId(_text(row["repo"])),
        branch=BranchName(_text(row["branch"])),
        commit=CommitId(_text(row["commit_id"])),
        s3=bool(row["s3"]),
    )


def _attempt_of(row: Row) -> Attempt:
    scope, code, finished = row["scope"], row["exit_code"], row["finished"]
    return Attempt(
        job=JobId(_text(row["job"])),
        datum=_text(row["datum"]),
        number=_number(row["number"]),
        state=AttemptState(_text(row["state"])),
        scope=None if scope is None else ScopeId(_text(scope)),
        exit_code=None if code is None else _number(code),
        reason=_text(row["reason"]),
        started_ms=_number(row["started"]),
        finished_ms=None if finished is None else _number(finished),
    )


def _text(value: Value) -> str:
    if type(value) is not str:
        raise _odd(value)
    return value


def _number(value: Value) -> int:
    if type(value) is not int:
        raise _odd(value)
    return value


def _odd(value: Value) -> Corrupt:
    return Corrupt(Reason.DAMAGED, f"a row of a pipeline or job holds {type(value).__name__}")
