"""One attempt at one datum: folders, gateway, user code, and whether it came to a good end.

In order: a staging layer for the output, folders with the file inputs, the sidecar, the code. When
the code has ended the sidecar is sealed; then, and only if the code ended well, files left under
`out` are taken in (unless the output is S3's). The layer of a good attempt is handed to the runner,
any other is dropped with everything in it. Whatever happens, no process, port or folder is left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import limits
from gateway.clock import Clock
from gateway.entropy import Entropy
from gateway.errors import SidegateError
from gateway.pipelines.datum import Datum
from gateway.pipelines.environment import Access, env_file, variables
from gateway.pipelines.executors.base import Executor, Outcome, Task, Workspace
from gateway.pipelines.files import lay_out, take_in
from gateway.pipelines.job import Attempt, AttemptState, Job
from gateway.pipelines.logs import JobLogs
from gateway.pipelines.sidecar import GatewayHost, Sidecar, job_views
from gateway.pipelines.spec import Spec
from gateway.pipelines.store import PipelineStore
from gateway.versions.store import Versions
from gateway.versions.views import BucketView


@dataclass(frozen=True, slots=True)
class Errand:
    """What a job asks of a worker: one datum, with everything pinned."""

    job: Job
    spec: Spec
    datum: Datum
    number: int  # of the attempt in its job, from 1
    pinned: Mapping[str, BucketView]  # inputs by name
    taken: frozenset[bytes] = frozenset()  # keys that other datums wrote


@dataclass(slots=True)
class Result:
    """How an attempt ended."""

    good: bool = False
    reason: str = ""
    exit_code: int | None = None
    output: BucketView | None = None  # the staging layer; kept only of a good attempt
    endpoint: str = ""
    traffic: dict[str, dict[str, Any]] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


class Worker:
    """Runs attempts; holds nothing between them."""

    def __init__(
        self,
        versions: Versions,
        store: PipelineStore,
        executor: Executor,
        host: GatewayHost,
        logs: JobLogs,
        clock: Clock,
        entropy: Entropy,
        listen: str,
        advertise: str | None,
    ) -> None:
        self._versions = versions
        self._store = store
        self._executor = executor
        self._host = host
        self._logs = logs
        self._clock = clock
        self._entropy = entropy
        self._listen = listen
        self._advertise = advertise

    async def attempt(self, errand: Errand) -> Result:
        """Run one attempt to its end and record it.

        A failure of the code, or of the gateway's own means, is a result. A cancellation is
        passed on when everything has been put away.
        """
        job = errand.job
        if job.output_commit is None:
            raise TypeError("a job that runs has an output commit")
        output = await self._versions.open_scope(job.output_commit)
        row = Attempt(
            job=job.id,
            datum=errand.datum.id,
            number=errand.number,
            state=AttemptState.RUNNING,
            scope=output.scope,
            exit_code=None,
            reason="",
            started_ms=self._clock.now_ms(),
            finished_ms=None,
        )
        await self._store.put_attempt(row)
        result = Result(output=output)
        state = AttemptState.DROPPED
        try:
            await self._run(errand, output, result)
            state = AttemptState.SUCCESS if result.good else AttemptState.FAILURE
        except SidegateError as error:
            state, result.good, result.reason = AttemptState.FAILURE, False, error.line()
        finally:
            if not result.good:
                await self._versions.drop_scope(output)
                result.output = None
            ended = replace(
                row,
                state=state,
                exit_code=result.exit_code,
                reason=result.reason,
                finished_ms=self._clock.now_ms(),
            )
            await self._store.put_attempt(ended)
        return result

    async def _run(self, errand: Errand, output: BucketView, result: Result) -> None:
        workspace = await self._executor.prepare(errand.job.id, str(errand.number))
        result.notices = workspace.notices
        try:
            await self._lay_out(errand, workspace)
            outcome = await self._serve(errand, workspace, output, result)
            result.exit_code = outcome.exit_code
            self._judge(errand, outcome, result)
            if result.good and not errand.spec.s3_out:
                written: list[bytes] = []
                result.good = False  # until all of it is in
                await take_in(self._versions, output, workspace, errand.taken, written.append)
                result.good = True
        finally:
            await self._executor.remove(workspace)

    async def _lay_out(self, errand: Errand, workspace: Workspace) -> None:
        if not errand.spec.s3_out:
            os.mkdir(os.path.join(workspace.pfs, "out"))
        s3 = {each.name for each in errand.spec.inputs if each.s3}
        for item in errand.datum.items:
            folder = os.path.join(workspace.pfs, item.input)
            if item.input in s3:
                os.mkdir(folder, 0o700)  # there, and empty: nothing is downloaded
            else:
                await lay_out(self._versions, errand.pinned[item.input], item.path, folder)

    async def _serve(
        self, errand: Errand, workspace: Workspace, output: BucketView, result: Result
    ) -> Outcome:
        """Run the code with its gateway, which is closed when this returns."""
        if not errand.spec.speaks_s3:
            return await self._execute(errand, workspace, None)
        views = job_views(errand.spec, errand.pinned, output)
        sidecar = await Sidecar.open(self._host, errand.spec, views, self._listen, self._advertise)
        try:
            result.endpoint = sidecar.url
            secret = self._entropy.random_bytes(20).hex()
            access = Access(sidecar.url, errand.job.id[:20], secret)
            outcome = await self._execute(errand, workspace, access)
            await sidecar.seal()
        finally:
            await sidecar.close()
            result.traffic = sidecar.traffic()
        if errand.spec.s3_out:
            await self._name_uploads(errand, output)
        return outcome

    async def _execute(
        self, errand: Errand, workspace: Workspace, access: Access | None
    ) -> Outcome:
        job, spec = errand.job, errand.spec
        environ = variables(
            workspace.variables, workspace.pfs_seen, spec, job, errand.datum, access
        )
        own = {name: value for name, value in environ.items() if name not in workspace.variables}
        with open(os.path.join(workspace.pfs, ".env"), "w", encoding="utf-8") as file:  # noqa: ASYNC230 - some hundred bytes
            file.write(env_file(own))
        task = Task(
            argv=spec.transform.cmd,
            stdin=spec.transform.stdin_bytes(),
            variables=environ,
            working_dir=spec.transform.working_dir,
            log_path=self._logs.path(job.id, errand.number),
        )
        execution = await self._executor.start(workspace, task, self._grew(job.id))
        return await execution.wait(spec.datum_timeout_s)

    def _grew(self, job: str) -> Callable[[], None]:
        return lambda: self._logs.grew(job)

    def _judge(self, errand: Errand, outcome: Outcome, result: Result) -> None:
        """Say whether the code ended well, and why not."""
        spec, code = errand.spec, outcome.exit_code
        if not outcome.reason and (code == 0 or code in spec.transform.accept_return_code):
            result.good = True
            return
        if outcome.timed_out:
            what = f"it ran longer than datum_timeout ({spec.datum_timeout_s:g} s)"
        elif outcome.reason:
            what = outcome.reason
        elif code is not None and code > 128:
            what = f"signal {code - 128} ended it (exit code {code})"
        else:
            what = f"exit code {code}"
        tail = self._logs.tail(errand.job.id, errand.number)
        result.reason = f"{what}; its last words: {tail}" if tail else what

    async def _name_uploads(self, errand: Errand, output: BucketView) -> None:
        """Name the multipart uploads that the code left open: they are not part of the output."""
        page = await self._versions.list_uploads(output, b"", b"", b"", "", limits.LIST_KEYS_MAX)
        for upload in page.uploads:
            name = upload.key.decode("utf-8", "replace")
            self._logs.say(
                errand.job.id,
                errand.number,
                f"the multipart upload of {name!r} was not completed and is dropped",
            )
            await self._versions.abort_upload(output, upload.key, upload.id)
