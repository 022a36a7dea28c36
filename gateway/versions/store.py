"""The façade: everything that the front doors, the pipelines and the command line call.

The work is done by one module for each concern; here they are built over the same ports and their
methods handed out under one name. What each promises is written where it is done.
"""

from __future__ import annotations

import asyncio
import contextlib

from gateway.clock import Clock
from gateway.entropy import Entropy
from gateway.errors import Conflict, Reason
from gateway.ids import DEFAULT_PROJECT
from gateway.metadata.base import Insert, Metadata, Unit
from gateway.metadata.schema import COUNTER
from gateway.objects.store import ObjectStore
from gateway.versions.branches import OUTBOX_COUNTER, Branches
from gateway.versions.buckets import GlobalBuckets
from gateway.versions.commits import Commits
from gateway.versions.comparing import Comparing
from gateway.versions.folding import purge_orphans
from gateway.versions.moves import Moves
from gateway.versions.outputs import Outputs
from gateway.versions.part_copies import PartCopies
from gateway.versions.reading import Reading
from gateway.versions.repos import Repos
from gateway.versions.resolving import Resolving
from gateway.versions.staging import Stager
from gateway.versions.state import State
from gateway.versions.uploads import Uploads
from gateway.versions.window import Window
from gateway.versions.writing import Writing


class Versions:
    """Buckets, objects, commits. Made by `create`; `start` its window; `close` it."""

    def __init__(
        self, metadata: Metadata, objects: ObjectStore, clock: Clock, entropy: Entropy
    ) -> None:
        state = State(metadata, objects, clock, entropy)
        self._state = state
        self._task: asyncio.Task[None] | None = None
        reading = Reading(state)
        stager = Stager(state)
        uploads = Uploads(state, stager)
        commits = Commits(state)
        resolving = Resolving(state)
        self.window = Window(state, commits, uploads)
        state.on_window = self.window.poke
        self.buckets = GlobalBuckets(state, resolving, reading)
        self._offer_objects(reading, Writing(state, reading, stager))
        self._offer_uploads(uploads, PartCopies(state, reading, uploads))
        self._offer_names(Repos(state), Branches(state), resolving)
        self._offer_commits(commits, Comparing(state, resolving, reading))
        self._offer_outputs(Outputs(state), Moves(state))

    def _offer_objects(self, reading: Reading, writing: Writing) -> None:
        self.find = reading.find
        self.head = reading.head
        self.open = reading.open
        self.list_objects = reading.list_objects
        self.walk = reading.walk
        self.put = writing.put
        self.copy = writing.copy
        self.delete = writing.delete
        self.delete_many = writing.delete_many

    def _offer_uploads(self, uploads: Uploads, copies: PartCopies) -> None:
        self.create_upload = uploads.create_upload
        self.find_upload = uploads.find_upload
        self.put_part = uploads.put_part
        self.put_part_copy = copies.put_part_copy
        self.parts = copies.parts
        self.list_parts = uploads.list_parts
        self.list_uploads = uploads.list_uploads
        self.complete_upload = uploads.complete_upload
        self.abort_upload = uploads.abort_upload

    def _offer_names(self, repos: Repos, branches: Branches, resolving: Resolving) -> None:
        self.create_project = repos.create_project
        self.list_projects = repos.list_projects
        self.inspect_project = repos.inspect_project
        self.delete_project = repos.delete_project
        self.create_repo = repos.create_repo
        self.list_repos = repos.list_repos
        self.inspect_repo = repos.inspect_repo
        self.delete_repo = repos.delete_repo
        self.create_branch = branches.create_branch
        self.list_branches = branches.list_branches
        self.inspect_branch = branches.inspect_branch
        self.move_branch = branches.move_branch
        self.delete_branch = branches.delete_branch
        self.protect = branches.protect
        self.hold = branches.hold
        self.release = branches.release
        self.resolve = resolving.resolve
        self.view = resolving.view
        self.commit_view = resolving.commit_view

    def _offer_commits(self, commits: Commits, comparing: Comparing) -> None:
        self.start_commit = commits.start_commit
        self.finish_commit = commits.finish_commit
        self.discard_commit = commits.discard_commit
        self.inspect_commit = commits.inspect_commit
        self.list_commits = commits.list_commits
        self.flush = commits.flush
        self.diff_commits = comparing.diff_commits

    def _offer_outputs(self, outputs: Outputs, moves: Moves) -> None:
        self.open_output = outputs.open_output
        self.open_scope = outputs.open_scope
        self.drop_scope = outputs.drop_scope
        self.finish_output = outputs.finish_output
        self.drop_output = outputs.drop_output
        self._state.on_move = moves.notify
        self.list_moves = moves.list_moves
        self.wait_moves = moves.wait_moves
        self.last_move = moves.last_move
        self.prune_moves = moves.prune_moves

    @classmethod
    async def create(
        cls, metadata: Metadata, objects: ObjectStore, clock: Clock, entropy: Entropy
    ) -> Versions:
        """Return the versions of a data directory, made ready: what a crash left is put right.

        Raises:
            Unavailable: the rows cannot be read or written.
        """
        versions = cls(metadata, objects, clock, entropy)
        await versions._prepare()
        return versions

    async def _prepare(self) -> None:
        state = self._state
        for first_time in (
            state.metadata.commit(Unit([Insert(COUNTER, {"name": OUTBOX_COUNTER, "value": 0})])),
            self.create_project(DEFAULT_PROJECT),
        ):
            try:
                await first_time
            except Conflict as error:
                if error.reason is not Reason.ALREADY_EXISTS:
                    raise
        await purge_orphans(state)

    def start(self) -> None:
        """Begin to finish automatic commits when they are due, those of an earlier run too."""
        if self._task is None:
            self._task = asyncio.create_task(self.window.run(), name="automatic-commits")

    async def flush_all(self) -> None:
        """Finish all automatic commits that are open; what fails is logged and stays open."""
        await self.window.close_due(all_of_them=True)

    async def close(self, *, flush: bool = True) -> None:
        """End the window, finishing what is open first unless told otherwise."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if flush:
            await self.flush_all()
