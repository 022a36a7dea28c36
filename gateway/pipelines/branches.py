"""The branches that a pipeline reads and writes: looked up, made, protected, held.

While a pipeline is there, none of them can be deleted, and only jobs write to its output branch. A
branch that users have written to is never taken as an output.
"""

from __future__ import annotations

from gateway.errors import Conflict, NotFound, Reason
from gateway.ids import BranchName, ProjectName, repo_name
from gateway.pipelines.inputs import PfsInput
from gateway.pipelines.spec import Spec
from gateway.versions.model import Origin, RepoInfo
from gateway.versions.store import Versions

Branch = tuple[str, BranchName]  # `project/repo`, and the branch


class PipelineBranches:
    """Takes and releases the branches of pipelines."""

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    async def check_inputs(self, spec: Spec) -> None:
        """Check that every input is there.

        Raises:
            NotFound(NO_SUCH_PROJECT | NO_SUCH_REPO | NO_SUCH_BRANCH): one is not; the message
                begins with its JSON path.
        """
        for each in spec.inputs:
            try:
                await self._versions.inspect_branch(*_input_branch(each))
            except NotFound as error:
                where = "branch" if error.reason is Reason.NO_SUCH_BRANCH else "repo"
                message = f"{each.path}.{where}: {error.message}"
                raise NotFound(error.reason, message, error.hint, path=each.path) from error

    async def take(self, spec: Spec) -> RepoInfo:
        """Make the output where it is missing, hold all branches, and return the output repo.

        Raises:
            Conflict(IN_USE): users write to the branch that would be the output.
            NotFound(NO_SUCH_PROJECT): of the pipeline.
        """
        repo = await self._take_output(spec)
        for (name, branch), why in _needed(spec).items():
            await self._versions.hold(name, branch, _holder(spec), why)
        return repo

    async def _take_output(self, spec: Spec) -> RepoInfo:
        name, branch = _output_branch(spec)
        try:
            repo = await self._versions.inspect_repo(name)
        except NotFound as error:
            if error.reason is not Reason.NO_SUCH_REPO:
                raise
            text = f"Output of pipeline {spec.name}"
            project = ProjectName(spec.project)
            repo = await self._versions.create_repo(project, repo_name(spec.name), text)
        try:
            info = await self._versions.inspect_branch(name, branch)
        except NotFound:
            await self._versions.create_branch(name, branch, protected=True)
            return repo
        if info.protected:
            return repo
        head = None if info.head is None else await self._versions.inspect_commit(info.head)
        if info.open is not None or (head is not None and head.origin is not Origin.JOB):
            raise Conflict(
                Reason.IN_USE,
                f"users write to branch {branch} of repo {spec.name}, which would be the output",
                "give the pipeline another name or output_branch",
            )
        await self._versions.protect(name, branch, protected=True)
        return repo

    async def let_go(self, spec: Spec, kept_for: Spec | None = None) -> None:
        """Release what a pipeline held, but for what its new spec needs as well.

        An output that is released may be written by hand again.
        """
        kept = {} if kept_for is None else _needed(kept_for)
        for name, branch in _needed(spec):
            if (name, branch) in kept:
                continue
            try:
                await self._versions.release(name, branch, _holder(spec))
                if (name, branch) == _output_branch(spec):
                    await self._versions.protect(name, branch, protected=False)
            except NotFound:
                continue


def _holder(spec: Spec) -> str:
    return f"pipeline {spec.key}"


def _input_branch(each: PfsInput) -> Branch:
    return f"{each.project}/{each.repo}", BranchName(each.branch)


def _output_branch(spec: Spec) -> Branch:
    return f"{spec.project}/{spec.name}", BranchName(spec.output_branch)


def _needed(spec: Spec) -> dict[Branch, str]:
    """Return the branches that a pipeline needs, and why."""
    found = {_input_branch(each): "it reads it" for each in spec.inputs}
    found[_output_branch(spec)] = "it writes it"
    return found
