"""Calls on jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.admin.arguments import Arguments, Record
from gateway.admin.handler import Services
from gateway.admin.records import time_of
from gateway.errors import Busy, Invalid, NotFound, Reason
from gateway.ids import CommitId
from gateway.pipelines.job import Job, JobInput, JobState
from gateway.wire.messages import Request, Response

_LIMIT_MAX = 10_000  # jobs in one answer
_WITHOUT_OUTPUT = frozenset({JobState.FAILURE, JobState.KILLED})


async def job_record(services: Services, job: Job) -> Record:
    """Describe a job: its inputs and output, what it read and wrote, and how it ended."""
    detail = job.detail.document()
    return {
        "job": job.id,
        "pipeline": job.pipeline if job.project == "default" else f"{job.project}/{job.pipeline}",
        "version": job.version,
        "state": job.state.value,
        "reason": job.reason,
        "inputs": [await _input_record(services, each) for each in job.inputs],
        # that of a job that failed was dropped: there is nothing to look at
        "output_commit": None if job.state in _WITHOUT_OUTPUT else job.output_commit,
        "cause": job.cause,
        "created": time_of(job.created_ms),
        "started": time_of(job.started_ms),
        "finished": time_of(job.finished_ms),
        "seconds": job.seconds,
        **detail,
        "buckets": [{"bucket": name, **traffic} for name, traffic in detail["buckets"].items()],
    }


async def _input_record(services: Services, each: JobInput) -> Record:
    record: Record = {"name": each.name, "branch": each.branch, "commit": each.commit}
    try:
        info = await services.versions.inspect_commit(CommitId(each.commit))
    except NotFound:
        return record
    return {"name": each.name, "repo": info.render_repo()} | record


async def list_jobs(services: Services, arguments: Arguments, _: Request) -> Record:
    """List jobs, newest first."""
    pipeline = arguments.maybe("pipeline")
    limit = int(arguments.number("limit", 100) or 0)
    arguments.done()
    if not 0 < limit <= _LIMIT_MAX:
        raise Invalid(Reason.BAD_ARGUMENT, f"limit {limit} is not from 1 to {_LIMIT_MAX}")
    project, slash, name = (pipeline or "").rpartition("/")
    found = await services.pipelines.list_jobs(
        project=(project if slash else "default") if pipeline else None,
        pipeline=name if pipeline else None,
        limit=limit,
    )
    return {"jobs": [await job_record(services, job) for job in found]}


async def inspect(services: Services, arguments: Arguments, _: Request) -> Record:
    """Describe a job, its attempts included."""
    name = arguments.text("job")
    arguments.done()
    job = await services.pipelines.inspect_job(name)
    attempts = [
        {
            "number": attempt.number,
            "state": attempt.state.value,
            "exit_code": attempt.exit_code,
            "reason": attempt.reason,
            "started": time_of(attempt.started_ms),
            "finished": time_of(attempt.finished_ms),
        }
        for attempt in await services.pipelines.list_attempts(name)
    ]
    return await job_record(services, job) | {"attempts": attempts}


async def wait(services: Services, arguments: Arguments, _: Request) -> Record:
    """Wait until a job has ended, or for `timeout` seconds, and describe it."""
    name, timeout_s = arguments.text("job"), arguments.number("timeout")
    arguments.done()
    try:
        job = await services.pipelines.wait_job(name, timeout_s)
    except Busy as error:
        raise Busy(error.reason, error.message, "wait again, with a longer --timeout") from error
    return await job_record(services, job)


async def stop(services: Services, arguments: Arguments, _: Request) -> Record:
    """Kill a job; its output is dropped."""
    name = arguments.text("job")
    arguments.done()
    return await job_record(services, await services.pipelines.stop_job(name))


async def delete(services: Services, arguments: Arguments, _: Request) -> Record:
    """Delete the record and logs of an ended job."""
    name = arguments.text("job")
    arguments.done()
    await services.pipelines.delete_job(name)
    return {}


async def log(services: Services, arguments: Arguments, _: Request) -> Response:
    """Answer with what a job's code printed; with `follow`, until the job has ended."""
    name, follow = arguments.text("job"), arguments.flag("follow")
    arguments.done()
    job = await services.pipelines.inspect_job(name)

    async def views() -> AsyncIterator[memoryview]:
        async for part in services.pipelines.job_logs(job.id, follow=follow):
            yield memoryview(part)

    return Response(200, [(b"content-type", b"text/plain; charset=utf-8")], views(), None)
