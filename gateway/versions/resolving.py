"""From a ref to a commit, and from a ref to a view."""

from __future__ import annotations

from typing import Final

from gateway.errors import Invalid, NotFound, Reason
from gateway.ids import BranchName, CommitId
from gateway.metadata.base import Row, Snapshot
from gateway.metadata.schema import COMMIT, REF, REF_LOG, REPO
from gateway.versions.branches import no_branch
from gateway.versions.model import BucketName, Ref, RepoInfo, Resolved
from gateway.versions.rows import maybe_commit, number, repo_of, text
from gateway.versions.state import State
from gateway.versions.views import BucketView

PREFIX_MATCHES: Final = 64  # rows looked at for a shortened id, over all repos


class Resolving:
    """Looks up what names mean."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def resolve(self, ref: str | Ref) -> Resolved:
        """Return what a ref names.

        A branch goes before a shortened commit id of the same spelling.

        Raises:
            Invalid: it is malformed, or a shortened id fits several commits.
            NotFound(NO_SUCH_PROJECT | NO_SUCH_REPO | NO_SUCH_BRANCH | NO_SUCH_COMMIT): something
                that it names is not there.
        """
        wanted = Ref.parse(ref) if isinstance(ref, str) else ref
        async with self._state.metadata.snapshot() as rows:
            repo_row = await self._state.repo_named(rows, wanted.project, wanted.repo)
            repo = repo_of(repo_row)
            branch = None
            if wanted.branch is not None:
                branch = await rows.get(REF, (repo.id, wanted.branch))
                if branch is None and wanted.commit is None:
                    raise no_branch(repo.render(), wanted.branch)
            plain = branch is not None and not wanted.back and wanted.time_ms is None
            commit = await self._start(rows, repo, wanted, branch)
            for step in range(wanted.back):
                row = None if commit is None else await rows.get(COMMIT, (commit,))
                commit = None if row is None else maybe_commit(row["parent"])
                if commit is None:
                    raise NotFound(
                        Reason.NO_SUCH_COMMIT,
                        f"{repo.render()}@{wanted.branch or wanted.commit} has {step} ancestors,"
                        f" not {wanted.back}",
                    )
        return Resolved(repo, wanted.branch if plain else None, commit, wanted.path)

    async def _start(
        self, rows: Snapshot, repo: RepoInfo, wanted: Ref, branch: Row | None
    ) -> CommitId | None:
        if branch is None:
            return await self._commit_of(rows, repo, wanted.commit or "")
        if wanted.time_ms is None:
            return maybe_commit(branch["head"])
        moves = await rows.scan(
            REF_LOG,
            (repo.id, branch["name"]),
            index="by_time",
            until=wanted.time_ms + 1,
            reverse=True,
            limit=1,
        )
        if not moves:
            raise NotFound(
                Reason.NO_SUCH_COMMIT,
                f"branch {text(branch['name'])} of {repo.render()} had no commit at that time",
            )
        return maybe_commit(moves[0]["head"])

    async def _commit_of(self, rows: Snapshot, repo: RepoInfo, prefix: str) -> CommitId:
        if len(prefix) == 32:
            row = await rows.get(COMMIT, (prefix,))
            found = [] if row is None else [row]
        else:
            found = list(
                await rows.scan(COMMIT, start=prefix, until=prefix + "g", limit=PREFIX_MATCHES)
            )
        ours = [row for row in found if row["repo"] == repo.id and row["state"] != "discarded"]
        if len(ours) > 1:
            raise Invalid(
                Reason.BAD_ARGUMENT,
                f"{prefix} fits {len(ours)} commits of {repo.render()}",
                "use more digits",
            )
        if not ours:
            raise NotFound(
                Reason.NO_SUCH_COMMIT,
                f"there is no branch or commit {prefix} in repo {repo.render()}",
                commit=prefix,
            )
        return CommitId(text(ours[0]["id"]))

    async def view(self, ref: str | Ref, name: str = "") -> BucketView:
        """Return the view of a ref: of a branch, or of a commit.

        Raises:
            Invalid, NotFound: as `resolve`; also when the ref is a branch's past without commits.
        """
        resolved = await self.resolve(ref)
        if resolved.branch is not None:
            async with self._state.metadata.snapshot() as rows:
                return await self.branch_view(
                    rows, resolved.repo, resolved.branch, name or str(ref)
                )
        if resolved.commit is None:
            raise NotFound(Reason.NO_SUCH_COMMIT, f"{ref} names no commit")
        return await self.commit_view(resolved.commit, name or str(ref))

    async def branch_view(
        self, rows: Snapshot, repo: RepoInfo, branch: BranchName, name: str
    ) -> BucketView:
        """Return the view of a branch that is there.

        Raises:
            NotFound(NO_SUCH_BRANCH): it is not.
        """
        row = await rows.get(REF, (repo.id, branch))
        if row is None:
            raise no_branch(repo.render(), branch)
        return BucketView(
            name,
            repo.id,
            repo.name,
            repo.project,
            await self._state.domain(rows, repo.project),
            branch=branch,
            writable=not row["protected"],
            created_ms=number(row["created"]),
            location=repo.location,
        )

    async def commit_view(self, commit: CommitId, name: str) -> BucketView:
        """Return the view of a commit: read-only when it is finished.

        Raises:
            NotFound(NO_SUCH_COMMIT): it is not there, was discarded, or is a job's under way.
        """
        async with self._state.metadata.snapshot() as rows:
            row = await rows.get(COMMIT, (commit,))
            repo_row = None if row is None else await rows.get(REPO, (row["repo"],))
            if row is None or repo_row is None or row["state"] == "discarded":
                raise NotFound(Reason.NO_SUCH_COMMIT, f"there is no commit {commit}")
            if row["state"] == "open" and row["origin"] == "job":
                raise NotFound(Reason.NO_SUCH_COMMIT, f"commit {commit} is not finished")
            repo = repo_of(repo_row)
            is_open = row["state"] == "open"
            return BucketView(
                name,
                repo.id,
                repo.name,
                repo.project,
                await self._state.domain(rows, repo.project),
                branch=BranchName(text(row["branch"])) if is_open else None,
                commit=commit,
                writable=is_open,
                created_ms=number(row["started"]),
                location=repo.location,
            )

    async def bucket(self, text_name: str) -> BucketView:
        """Return what a bucket of the global gateway means.

        Raises:
            Invalid(BAD_NAME): it could be no bucket.
            NotFound(NO_SUCH_BUCKET): it is none.
        """
        name = BucketName.parse(text_name)
        try:
            return await self._bucket(name, text_name)
        except NotFound as error:
            raise NotFound(
                Reason.NO_SUCH_BUCKET,
                f"there is no bucket {text_name!r}: {error.message}",
                error.hint,
                name=text_name,
            ) from error

    async def _bucket(self, name: BucketName, given: str) -> BucketView:
        state = self._state
        async with state.metadata.snapshot() as rows:
            repo = repo_of(await state.repo_named(rows, name.project, name.repo))
            if name.commit is None:
                return await self.branch_view(rows, repo, name.branch, given)
            row = await rows.get(COMMIT, (name.commit,))
            known = row is not None and row["repo"] == repo.id
            if known and row is not None and name.branch_given and row["branch"] != name.branch:
                known = await rows.get(REF, (repo.id, name.branch)) is not None
            if not known:
                raise NotFound(
                    Reason.NO_SUCH_COMMIT, f"there is no commit {name.commit} in {repo.render()}"
                )
        return await self.commit_view(name.commit, given)
