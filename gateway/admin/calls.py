"""Every call of the admin API, by name: the one list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.admin import commits, files, jobs, pipelines, repos
from gateway.admin.handler import Action

ACTIONS: Final[Mapping[str, Action]] = {
    "project.create": repos.create_project,
    "project.list": repos.list_projects,
    "project.inspect": repos.inspect_project,
    "project.delete": repos.delete_project,
    "repo.create": repos.create_repo,
    "repo.list": repos.list_repos,
    "repo.inspect": repos.inspect_repo,
    "repo.delete": repos.delete_repo,
    "branch.create": repos.create_branch,
    "branch.list": repos.list_branches,
    "branch.inspect": repos.inspect_branch,
    "branch.delete": repos.delete_branch,
    "branch.move": repos.move_branch,
    "branch.flush": repos.flush_branch,
    "commit.start": commits.start,
    "commit.finish": commits.finish,
    "commit.discard": commits.discard,
    "commit.list": commits.list_commits,
    "commit.inspect": commits.inspect,
    "commit.diff": commits.diff,
    "file.put": files.put,
    "file.get": files.get,
    "file.list": files.list_files,
    "file.remove": files.remove,
    "file.copy": files.copy,
    "pipeline.create": pipelines.create,
    "pipeline.update": pipelines.update,
    "pipeline.apply": pipelines.apply,
    "pipeline.list": pipelines.list_pipelines,
    "pipeline.inspect": pipelines.inspect,
    "pipeline.start": pipelines.start,
    "pipeline.stop": pipelines.stop,
    "pipeline.delete": pipelines.delete,
    "pipeline.run": pipelines.run,
    "job.list": jobs.list_jobs,
    "job.inspect": jobs.inspect,
    "job.wait": jobs.wait,
    "job.stop": jobs.stop,
    "job.delete": jobs.delete,
    "job.log": jobs.log,
}
