"""Calls on pipelines."""

from __future__ import annotations

import json
from dataclasses import dataclass

from gateway.admin.arguments import Arguments, Record
from gateway.admin.handler import Services
from gateway.admin.jobs import job_record
from gateway.admin.records import time_of
from gateway.pipelines.job import Job, Pipeline
from gateway.pipelines.service import Applied
from gateway.wire.messages import Request


@dataclass(frozen=True, slots=True)
class Name:
    """A pipeline's name with its project."""

    project: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Name:
        """Read `[project/]pipeline`."""
        project, slash, name = text.rpartition("/")
        return cls(project if slash else "default", name)


def render(project: str, name: str) -> str:
    """Return `pipeline`, or `project/pipeline` outside the default project."""
    return name if project == "default" else f"{project}/{name}"


async def create(services: Services, arguments: Arguments, _: Request) -> Record:
    """Make a pipeline, or tell what its spec is understood to say."""
    return await _change(services, arguments, "create")


async def update(services: Services, arguments: Arguments, _: Request) -> Record:
    """Give a pipeline a new spec, or tell what that is understood to say."""
    return await _change(services, arguments, "update")


async def apply(services: Services, arguments: Arguments, _: Request) -> Record:
    """Make a pipeline, or update it when its spec says something new."""
    return await _change(services, arguments, "apply")


async def _change(services: Services, arguments: Arguments, verb: str) -> Record:
    source, project = arguments.text("spec"), arguments.maybe("project")
    dry_run = arguments.flag("dry_run")
    arguments.done()
    pipelines = services.pipelines
    if dry_run:
        parsed = pipelines.parse(source, project)
        return parsed.spec.document() | {"warnings": list(parsed.warnings)}
    if verb == "create":
        applied = await pipelines.create(source, project)
    elif verb == "update":
        applied = await pipelines.update(source, project)
    else:
        applied = await pipelines.apply(source, project)
    return _applied_record(applied)


def _applied_record(applied: Applied) -> Record:
    return pipeline_record(applied.pipeline, None) | {"warnings": list(applied.warnings)}


def pipeline_record(pipeline: Pipeline, last: Job | None) -> Record:
    """Describe a pipeline and its last job."""
    spec = json.loads(pipeline.spec)
    return {
        "pipeline": render(pipeline.project, pipeline.name),
        "version": pipeline.version,
        "state": pipeline.state.value,
        "input": _input_text(spec["input"]),
        "last_job": last.id if last else None,
        "last_state": last.state.value if last else None,
        "created": time_of(pipeline.created_ms),
        "updated": time_of(pipeline.updated_ms),
    }


def _input_text(tree: Record) -> str:
    """Return an input tree as a person writes it: `a@master × b@master`."""
    if "pfs" in tree:
        leaf = tree["pfs"]
        name = render(leaf.get("project", "default"), leaf["repo"])
        return f"{name}@{leaf['branch']}" + (" (s3)" if leaf.get("s3") else f":{leaf['glob']}")
    return " x ".join(_input_text(child) for child in tree.get("cross", []))


async def _with_last(services: Services, pipeline: Pipeline) -> Record:
    jobs = await services.pipelines.list_jobs(
        project=pipeline.project, pipeline=pipeline.name, limit=1
    )
    return pipeline_record(pipeline, jobs[0] if jobs else None)


async def list_pipelines(services: Services, arguments: Arguments, _: Request) -> Record:
    """List the pipelines, of one project or all."""
    project = arguments.maybe("project")
    arguments.done()
    found = await services.pipelines.list_pipelines(project)
    return {"pipelines": [await _with_last(services, pipeline) for pipeline in found]}


async def inspect(services: Services, arguments: Arguments, _: Request) -> Record:
    """Describe a pipeline, its spec included."""
    name = Name.parse(arguments.text("pipeline"))
    arguments.done()
    pipeline = await services.pipelines.inspect_pipeline(name.project, name.name)
    return await _with_last(services, pipeline) | {"spec": json.loads(pipeline.spec)}


async def start(services: Services, arguments: Arguments, _: Request) -> Record:
    """Let new input commits run jobs again."""
    name = Name.parse(arguments.text("pipeline"))
    arguments.done()
    return pipeline_record(await services.pipelines.start_pipeline(name.project, name.name), None)


async def stop(services: Services, arguments: Arguments, _: Request) -> Record:
    """Run no more jobs; those under way are killed."""
    name = Name.parse(arguments.text("pipeline"))
    arguments.done()
    return pipeline_record(await services.pipelines.stop_pipeline(name.project, name.name), None)


async def delete(services: Services, arguments: Arguments, _: Request) -> Record:
    """Delete a pipeline; its output repo stays."""
    name = Name.parse(arguments.text("pipeline"))
    arguments.done()
    await services.pipelines.delete_pipeline(name.project, name.name)
    return {}


async def run(services: Services, arguments: Arguments, _: Request) -> Record:
    """Begin a job on the present heads, and tell which; do not wait for it."""
    name = Name.parse(arguments.text("pipeline"))
    reprocess, timeout_s = arguments.flag("reprocess"), arguments.number("timeout")
    arguments.done()
    job = await services.pipelines.begin_run(
        name.project, name.name, reprocess=reprocess, timeout_s=timeout_s
    )
    return await job_record(services, job)
