"""Jobs from end to end: a spec, a real client beside its own gateway, a commit or none."""

import asyncio
import json
import socket
import sys
from urllib.parse import urlsplit

import pytest

from gateway.errors import Conflict, Denied, Invalid, NotFound, Reason, SidegateError
from gateway.metadata.base import Unit, Update
from gateway.metadata.schema import JOB
from gateway.pipelines.job import Attempt, AttemptState, JobState
from tests.integration.pipelines_rig import (
    commit,
    log_of,
    make_repo,
    opened,
    pfs,
    read,
    run,
    spec,
)

COPY = """
for key in keys("data"):
    put(key, get("data", key))
"""


async def test_a_job_copies_its_input_to_its_output_and_its_commit_says_whence(tmp_path):
    code = """
print(sorted(b["Name"] for b in s3.list_buckets()["Buckets"]))
for key in keys("data"):
    put(key, get("data", key))
print("out", keys("out"), get("out", "b c"))
print("alias", keys("p"))
print(sorted(os.listdir(os.environ.get("PFS_ROOT", "/pfs"))), os.environ["data_COMMIT"], end=" ")
print(os.environ["PACH_OUTPUT_COMMIT_ID"])
"""
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data")
        await make_repo(app, "secret", k=b"v")
        head = await commit(app, "data", {"a": b"1", "b c": b"2" * 300_000, "e": b""})
        job = await run(app, spec("p", pfs("data"), code))
        log = await log_of(app, job)
        assert job.state is JobState.SUCCESS, (job.reason, log)
        assert "['data', 'out']" in log
        assert "out ['a', 'b c', 'e']" in log
        assert "alias ['a', 'b c', 'e']" in log
        assert f"['.env', 'data'] {head} {job.output_commit}" in log
        assert await read(app, "p@master") == {"a": b"1", "b c": b"2" * 300_000, "e": b""}
        info = await app.versions.inspect_commit(job.output_commit)
        assert [(each.upstream, each.input) for each in info.provenance] == [(head, "data")]
        assert (info.job, info.cause) == (job.id, head)
        assert (await app.versions.inspect_branch("p", "master")).head == job.output_commit
        detail = job.detail
        assert detail.buckets["data"]["gets"] == 2  # one has no bytes to read
        assert detail.buckets["data"]["bytes_read"] == 300_001
        assert detail.buckets["out"]["written"] == ["a", "b c", "e"]
        assert (detail.objects, detail.bytes, detail.exit_code) == (3, 300_001, 0)
        assert detail.new_bytes < 300_001  # it was there already
        [attempt] = await app.pipelines.list_attempts(job.id)
        assert (attempt.state, attempt.exit_code) == (AttemptState.SUCCESS, 0)
        at = urlsplit(detail.endpoint)
        with socket.socket() as probe:  # the gateway is gone
            assert probe.connect_ex((at.hostname, at.port)) != 0
        assert not (tmp_path / "data" / "jobs" / job.id).exists()


async def test_inputs_are_read_only_and_nothing_else_is_there(tmp_path):
    code = """
print(refusal(s3.put_object, Bucket="data", Key="n", Body=b"x"))
print(refusal(s3.delete_object, Bucket="data", Key="a"))
print(refusal(s3.list_objects_v2, Bucket="secret"))
print(refusal(s3.list_objects_v2, Bucket="master.data"))
print(refusal(s3.create_bucket, Bucket="more"))
print(refusal(s3.delete_bucket, Bucket="out"))
print(refusal(s3.get_object, Bucket="out", Key="a"))
"""
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        await make_repo(app, "secret", k=b"v")
        job = await run(app, spec("p", pfs("data"), code))
        log = await log_of(app, job)
        assert job.state is JobState.SUCCESS, (job.reason, log)
        assert log.split() == [
            "AccessDenied",
            "AccessDenied",
            "NoSuchBucket",
            "NoSuchBucket",
            "AccessDenied",
            "AccessDenied",
            "NoSuchKey",
        ]
        assert await read(app, "data@master") == {"a": b"1"}
        assert await read(app, "p@master") == {}


async def test_failed_code_leaves_the_branch_and_the_job_says_why(tmp_path):
    code = 'put("debris")\nprint("cannot go on")\nsys.exit(3)\n'
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        good = await run(app, spec("p", pfs("data"), COPY))
        job = await run(app, spec("p", pfs("data"), code, datum_tries=2))
        assert job.state is JobState.FAILURE
        assert job.reason.startswith("exit code 3; its last words:")
        assert "cannot go on" in job.reason
        assert "tried 2 times" in job.reason
        assert job.version == 2
        assert (await app.versions.inspect_branch("p", "master")).head == good.output_commit
        attempts = await app.pipelines.list_attempts(job.id)
        assert [each.state for each in attempts] == [AttemptState.FAILURE] * 2
        with pytest.raises(NotFound):
            await app.versions.view(f"p@{job.output_commit}")
        assert "attempt 1 of 2 failed: exit code 3" in await log_of(app, job)


async def test_a_second_try_begins_with_nothing(tmp_path):
    code = """
put("tried-in-" + os.environ["HOME"].split("/")[-2])
sys.exit(0 if os.environ["HOME"].endswith("/2/home") else 9)
"""
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        job = await run(app, spec("p", pfs("data"), code, datum_tries=3))
        assert job.state is JobState.SUCCESS, job.reason
        assert await read(app, "p@master") == {"tried-in-2": b"x"}


async def test_accepted_return_codes_are_success(tmp_path):
    text = spec("p", pfs("data"), "sys.exit(4)\n")
    text = text.replace('"stdin"', '"accept_return_code": [0, 4], "stdin"')
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        job = await run(app, text)
        assert (job.state, job.detail.exit_code) == (JobState.SUCCESS, 4)


async def test_uploads_left_open_are_dropped_and_named(tmp_path):
    code = 's3.create_multipart_upload(Bucket="out", Key="half done")\nput("whole")\n'
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        job = await run(app, spec("p", pfs("data"), code))
        assert job.state is JobState.SUCCESS, job.reason
        assert "multipart upload of 'half done' was not completed" in await log_of(app, job)
        assert await read(app, "p@master") == {"whole": b"x"}


async def test_s3_inputs_cross_files_one_datum_for_each(tmp_path):
    code = """
name = os.path.basename(os.environ["files"])
with open(os.environ["files"], "rb") as file:
    put(name, file.read() + get("data", "a"))
root = os.environ.get("PFS_ROOT", "/pfs")
print(sorted(os.listdir(root)), os.listdir(root + "/data"))
"""
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        await make_repo(app, "files")
        await commit(app, "files", {"x.txt": b"x", "y.txt": b"y", "z/deep": b"z"})
        inputs = [pfs("data"), pfs("files", s3=False, glob="/*.txt")]
        job = await run(app, spec("p", inputs, code))
        log = await log_of(app, job)
        assert job.state is JobState.SUCCESS, (job.reason, log)
        assert await read(app, "p@master") == {"x.txt": b"x1", "y.txt": b"y1"}
        assert log.count("['.env', 'data', 'files'] []") == 2
        assert (job.detail.datums, job.detail.datums_done) == (2, 2)
        assert job.detail.buckets["data"]["gets"] == 2
        assert sorted(job.detail.buckets["out"]["written"]) == ["x.txt", "y.txt"]


async def test_two_datums_may_not_write_one_key(tmp_path):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "files", x=b"x", y=b"y")
        job = await run(app, spec("p", pfs("files", s3=False, glob="/*"), 'put("same")\n'))
        assert job.state is JobState.FAILURE
        assert "two datums wrote 'same'" in job.reason


async def test_a_glob_without_match_gives_an_empty_commit(tmp_path):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "files", x=b"x")
        job = await run(app, spec("p", pfs("files", s3=False, glob="/*.csv"), "sys.exit(1)\n"))
        assert (job.state, job.detail.datums) == (JobState.SUCCESS, 0), job.reason
        assert await read(app, "p@master") == {}


def shell(name, inputs, script, **more):
    text = spec(name, inputs, s3_out=False)
    values = json.loads(text)
    values["transform"] = {"cmd": ["sh", "-e"], "stdin": script.splitlines()}
    return json.dumps(values | more)


async def test_files_in_and_files_out(tmp_path):
    script = """
cd "${PFS_ROOT:-/pfs}"
env | grep -c -e S3_ENDPOINT -e AWS_ || true
mkdir -p out/sub/empty
cat files/a files/d/b > out/sub/both
ln -s "${PFS_ROOT:-/pfs}/files/a" out/link
"""
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "files")
        await commit(
            app, "files", {"a": b"1", "d/b": b"2", "folder/": b"", "big": b"3" * 3_000_000}
        )
        job = await run(app, shell("p", pfs("files", s3=False), script))
        log = await log_of(app, job)
        assert job.state is JobState.SUCCESS, (job.reason, log)
        assert log == "0\n"
        assert await read(app, "p@master") == {"sub/both": b"12", "link": b"1"}
        assert job.detail.endpoint == ""


@pytest.mark.parametrize("key", ["../x", "a//b", "/a", "a/./b", "n" * 300])
async def test_keys_that_are_no_paths_fail_the_job_by_name(tmp_path, key):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "files")
        await commit(app, "files", {key: b"1"})
        job = await run(app, shell("p", pfs("files", s3=False), "true"))
        assert job.state is JobState.FAILURE
        assert repr(key) in job.reason
        assert "cannot be a file" in job.reason


async def test_output_that_is_no_file_fails_the_job(tmp_path):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "files", a=b"1")
        for script, word in (
            ('mkfifo "${PFS_ROOT:-/pfs}/out/f"', "out/f is no ordinary file"),
            ('ln -s /etc/hostname "${PFS_ROOT:-/pfs}/out/l"', "out of the job's own folders"),
        ):
            job = await run(app, shell("p", pfs("files", s3=False), script))
            assert job.state is JobState.FAILURE
            assert word in job.reason


async def test_timeouts_fail_a_job(tmp_path):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        wait = "import time\ntime.sleep(600)\n"
        job = await run(app, spec("p", pfs("data"), wait, datum_timeout="0.2s"))
        assert (job.state, "datum_timeout (0.2 s)" in job.reason) == (JobState.FAILURE, True)
        job = await run(app, spec("p", pfs("data"), wait, job_timeout="0.2s"))
        assert (job.state, "job_timeout (0.2 s)" in job.reason) == (JobState.FAILURE, True)
        [attempt] = await app.pipelines.list_attempts(job.id)
        assert attempt.state is AttemptState.DROPPED
        await app.pipelines.apply(spec("p", pfs("data"), wait))
        job = await app.pipelines.run_now("default", "p", timeout_s=0.2)
        assert (job.state, job.reason) == (JobState.KILLED, "the run took longer than 0.2 s")


async def first_words(app, job):
    """Wait until a job has printed something."""
    async for part in app.pipelines.job_logs(job.id, follow=True):
        return part
    return b""


async def test_a_job_can_be_followed_and_stopped(tmp_path):
    code = 'put("k")\nprint("begun", flush=True)\nimport time\ntime.sleep(600)\n'
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        await app.pipelines.create(spec("p", pfs("data"), code))
        job = await app.pipelines.begin_run("default", "p")
        again = await app.pipelines.begin_run("default", "p")
        assert again.id == job.id  # the same inputs, and it has not ended
        assert b"begun" in await first_words(app, job)
        with pytest.raises(Conflict):
            await app.pipelines.delete_job(job.id)
        with pytest.raises(SidegateError) as caught:
            await app.pipelines.wait_job(job.id, 0.01)
        assert caught.value.reason is Reason.TIMEOUT
        stopped = await app.pipelines.stop_job(job.id[:8])
        assert (stopped.state, stopped.reason) == (JobState.KILLED, "it was stopped by hand")
        assert (await app.versions.inspect_branch("p", "master")).head is None
        assert await log_of(app, job) == "begun\n"
        await app.pipelines.delete_job(job.id)
        with pytest.raises(NotFound):
            await app.pipelines.inspect_job(job.id)
        assert list((tmp_path / "data" / "logs").iterdir()) == []


async def test_jobs_under_way_go_back_in_line_when_the_gateway_closes(tmp_path):
    code = 'print("begun", flush=True)\nimport time\ntime.sleep(600)\n'
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        await app.pipelines.create(spec("p", pfs("data"), code))
        job = await app.pipelines.begin_run("default", "p")
        assert b"begun" in await first_words(app, job)
    async with opened(tmp_path / "data") as app:
        left = await app.pipelines.inspect_job(job.id)
        assert left.state is JobState.CREATED
        [attempt] = await app.pipelines.list_attempts(job.id)
        assert attempt.state is AttemptState.DROPPED
        await app.pipelines.start()
        assert b"begun" in await first_words(app, job)
        assert (await app.pipelines.stop_job(job.id)).state is JobState.KILLED


async def test_after_a_crash_attempts_are_dropped_and_jobs_run_again(tmp_path):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        await app.pipelines.create(spec("p", pfs("data"), COPY))
        pipeline = await app.pipelines.inspect_pipeline("default", "p")
        store, watcher = app.pipelines._store, app.pipelines._watcher
        job = await watcher.run_now(pipeline)  # as a process that died has left it: made,
        output = await app.versions.open_output("p", "master", job.id, job.cause, [])
        job = await store.move_job(job, JobState.RUNNING, now_ms=1, output_commit=output)
        scope = await app.versions.open_scope(output)  # running, with an attempt under way
        running = AttemptState.RUNNING
        row = Attempt(job.id, "d" * 64, 1, running, scope.scope, None, "", 1, None)
        await store.put_attempt(row)
        (tmp_path / "data" / "jobs" / job.id / "1").mkdir(parents=True)
    async with opened(tmp_path / "data") as app:
        await app.pipelines.start()
        assert not (tmp_path / "data" / "jobs").exists()
        ended = await app.pipelines.wait_job(job.id)
        assert ended.state is JobState.SUCCESS, ended.reason
        assert ended.output_commit != output
        first, second = await app.pipelines.list_attempts(job.id)
        assert (first.state, second.state) == (AttemptState.DROPPED, AttemptState.SUCCESS)
        assert second.number == 2
        assert await read(app, "p@master") == {"a": b"1"}


SERVE_AND_WAIT = """
import asyncio, sys
from gateway.assembly import Assembly
async def main():
    app = await Assembly.open(sys.argv[1])
    await app.pipelines.run_now("default", "p")
asyncio.run(main())
"""


async def test_user_code_dies_with_the_process_that_ran_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"""
import socket, time
line = socket.create_connection(("127.0.0.1", {port}))
if not os.environ["HOME"].endswith("/1/home"):
    sys.exit(0)
if os.fork() == 0:
    os.setsid()
time.sleep(600)
"""
        async with opened(tmp_path / "data") as app:
            await make_repo(app, "data", a=b"1")
            await app.pipelines.create(spec("p", pfs("data"), code))
        command = [sys.executable, "-c", SERVE_AND_WAIT, str(tmp_path / "data")]
        process = await asyncio.create_subprocess_exec(*command)
        line, _ = await asyncio.to_thread(server.accept)
        process.kill()
        await process.wait()
        with line:
            assert await asyncio.to_thread(line.recv, 1) == b""  # closed: nobody holds it
        async with opened(tmp_path / "data") as app:
            await app.pipelines.start()
            [job] = await app.pipelines.list_jobs()
            assert (await app.pipelines.wait_job(job.id)).state is JobState.SUCCESS
            states = [each.state for each in await app.pipelines.list_attempts(job.id)]
            assert states == [AttemptState.DROPPED, AttemptState.SUCCESS]


async def test_a_crash_between_commit_and_record_is_a_success(tmp_path):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        job = await run(app, spec("p", pfs("data"), COPY))
        row = Update(JOB, (job.id,), {"state": "finishing", "finished": None})
        await app.metadata.commit(Unit([row]))
    async with opened(tmp_path / "data") as app:
        await app.pipelines.start()
        assert (await app.pipelines.wait_job(job.id)).state is JobState.SUCCESS
        assert len(await app.pipelines.list_jobs(project="default", pipeline="p")) == 1


async def test_missing_inputs_and_names_in_use_are_refused(tmp_path):
    async with opened(tmp_path / "data") as app:
        with pytest.raises(NotFound) as caught:
            await app.pipelines.create(spec("p", pfs("data")))
        assert caught.value.reason is Reason.NO_SUCH_REPO
        assert caught.value.message.startswith("$.input.pfs.repo: ")
        await make_repo(app, "data")
        with pytest.raises(NotFound) as caught:
            await app.pipelines.create(spec("p", pfs("data", branch="dev")))
        assert caught.value.message.startswith("$.input.pfs.branch: ")
        with pytest.raises(NotFound):
            await app.pipelines.update(spec("p", pfs("data")))
        await app.pipelines.create(spec("p", pfs("data"), COPY))
        with pytest.raises(Conflict) as conflict:
            await app.pipelines.create(spec("p", pfs("data"), COPY))
        assert conflict.value.reason is Reason.ALREADY_EXISTS
        with pytest.raises(Conflict) as conflict:  # no commit yet
            await app.pipelines.run_now("default", "p")
        assert "no commit yet" in conflict.value.message
        await make_repo(app, "mine", k=b"v")
        with pytest.raises(Conflict) as conflict:
            await app.pipelines.create(spec("mine", pfs("data")))
        assert conflict.value.reason is Reason.IN_USE
        await app.pipelines.create(spec("q", pfs("p")))
        with pytest.raises(Invalid) as ring:
            await app.pipelines.update(spec("p", pfs("q")))
        assert "q → p → q" in ring.value.message


async def test_versions_holds_and_protection_follow_the_pipeline(tmp_path):
    async with opened(tmp_path / "data") as app:
        versions, pipelines = app.versions, app.pipelines
        await make_repo(app, "data", a=b"1")
        await make_repo(app, "other", b=b"2")
        first = await pipelines.apply(spec("p", pfs("data"), COPY))
        assert (await pipelines.apply(spec("p", pfs("data"), COPY))).pipeline.version == 1
        assert first.pipeline.version == 1
        with pytest.raises(Conflict):
            await versions.delete_branch("data", "master")
        with pytest.raises(Denied):
            await versions.start_commit("p", "master")
        second = await pipelines.apply(spec("p", pfs("other", name="data"), COPY))
        assert second.pipeline.version == 2
        await versions.delete_branch("data", "master")
        assert (await run(app, spec("p", pfs("other", name="data"), COPY))).version == 2
        await pipelines.delete_pipeline("default", "p")
        assert await pipelines.list_pipelines() == []
        assert await read(app, "p@master") == {"b": b"2"}
        await commit(app, "p", {"by hand": b"3"})
        with pytest.raises(NotFound):
            await pipelines.inspect_pipeline("default", "p")


async def test_a_paused_pipeline_makes_no_jobs_until_it_is_started(tmp_path):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        await app.pipelines.start()
        await app.pipelines.create(spec("p", pfs("data"), COPY))
        [job] = await app.pipelines.list_jobs(project="default", pipeline="p")
        assert (await app.pipelines.wait_job(job.id)).state is JobState.SUCCESS
        await app.pipelines.stop_pipeline("default", "p")
        await commit(app, "data", {"a": b"2"})
        await app.pipelines.start_pipeline("default", "p")
        jobs = await app.pipelines.list_jobs(project="default", pipeline="p")
        assert len(jobs) == 2
        assert (await app.pipelines.wait_job(jobs[0].id)).state is JobState.SUCCESS
        assert await read(app, "p@master") == {"a": b"2"}


async def moved(app, repo, head):
    """Wait until the head of a repo's master is another one, and return it."""
    seen = await app.versions.last_move()
    while True:
        info = await app.versions.inspect_branch(repo, "master")
        if info.head not in {None, head}:
            return info.head
        for move in await app.versions.wait_moves(seen):
            seen = move.id


async def test_a_commit_runs_a_chain_and_a_diamond_once_each(tmp_path):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        await app.pipelines.start()
        left = spec("left", pfs("data"), 'put("l", get("data", "a"))\n')
        right = spec("right", pfs("data"), 'put("r", get("data", "a"))\n')
        foot = 'put("both", get("left", "l") + get("right", "r"))\n'
        await app.pipelines.create(left)
        await app.pipelines.create(right)
        heads = [await moved(app, name, None) for name in ("left", "right")]
        await app.pipelines.create(spec("foot", [pfs("left"), pfs("right")], foot))
        first = await moved(app, "foot", None)
        cause = await commit(app, "data", {"a": b"2"})
        last = await moved(app, "foot", first)
        assert await read(app, "foot@master") == {"both": b"22"}
        assert len(await app.pipelines.list_jobs(project="default", pipeline="foot")) == 2
        info = await app.versions.inspect_commit(last)
        assert info.cause == cause
        ups = {each.upstream for each in info.provenance}
        assert not ups & set(heads)
        for each in ups:
            assert (await app.versions.inspect_commit(each)).cause == cause


async def test_what_happened_while_nobody_watched_is_caught_up_with(tmp_path):
    async with opened(tmp_path / "data") as app:
        await make_repo(app, "data", a=b"1")
        await app.pipelines.create(spec("p", pfs("data"), COPY))
        await commit(app, "data", {"a": b"2"})
        await commit(app, "data", {"a": b"3"})
    async with opened(tmp_path / "data") as app:
        await app.pipelines.start()
        head = None
        seen = []
        while not seen or seen[-1] != {"a": b"3"}:
            head = await moved(app, "p", head)
            seen.append(await read(app, f"p@{head}"))
        jobs = await app.pipelines.list_jobs()
        assert len(jobs) == 2  # one for each commit since the pipeline was made
    async with opened(tmp_path / "data") as app:
        await app.pipelines.start()
        assert await app.pipelines._watcher.on_present() == []
        assert len(await app.pipelines.list_jobs()) == 2
