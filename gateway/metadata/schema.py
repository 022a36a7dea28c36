"""Every table, in one place: the same definition serves each adapter.

Paths are BLOBs and compare as bytes. Times are milliseconds since the epoch. Ids of events are
32 hex digits (TEXT), ids of content 32 raw bytes (BLOB). A change here is a new `VERSION` with a
migration, and a new row in `docs/formats/metadata.md`.
"""

from __future__ import annotations

from gateway.metadata.base import Table

VERSION = 1

# Facts about this data directory: `format`, `instance`, `created`.
META = Table("meta", {"name": "TEXT", "value": "BLOB"}, ("name",))

# Dedup domains: random keys, one domain a project by default. `salt` derives all keys of the domain
# (gear table, chunk ids, node ids, manifest ids): 32 bytes.
DOMAIN = Table(
    "domain",
    {"id": "TEXT", "chunker": "TEXT", "salt": "BLOB", "created": "INTEGER"},
    ("id",),
)

PROJECT = Table(
    "project",
    {"name": "TEXT", "domain": "TEXT", "description": "TEXT", "created": "INTEGER"},
    ("name",),
)

REPO = Table(
    "repo",
    {
        "id": "TEXT",
        "project": "TEXT",
        "name": "TEXT",
        "description": "TEXT",
        "location": "TEXT",  # S3 LocationConstraint given at creation, or empty
        "created": "INTEGER",
    },
    ("id",),
    indexes={"by_name": ("project", "name")},
    unique=("by_name",),
)

# A branch. `head` is a commit id or NULL (nothing committed yet). `ver` rises with each move of the
# head. `open` is the open commit that branch writes go to, or NULL. `protected`: only jobs write.
REF = Table(
    "ref",
    {
        "repo": "TEXT",
        "name": "TEXT",
        "head": "TEXT",
        "ver": "INTEGER",
        "open": "TEXT",
        "protected": "INTEGER",
        "created": "INTEGER",
    },
    ("repo", "name"),
)

# Each move of a head, from the first day (decisions/0000.7).
REF_LOG = Table(
    "ref_log",
    {"repo": "TEXT", "ref": "TEXT", "ver": "INTEGER", "head": "TEXT", "time": "INTEGER"},
    ("repo", "ref", "ver"),
    indexes={"by_time": ("repo", "ref", "time")},
)

# `state`: open, finished, discarded. `origin`: user, auto, job. `parent`, `parent2`: commit ids or
# NULL. `root`: tree of current objects (NULL: empty); `versions_root`: nullable second root.
# `cause`: the id of the commit that set everything off. `objects`, `bytes`: of the content;
# `logical_bytes` received and `new_bytes` stored: of the writing.
COMMIT = Table(
    "commits",
    {
        "id": "TEXT",
        "repo": "TEXT",
        "branch": "TEXT",
        "state": "TEXT",
        "origin": "TEXT",
        "parent": "TEXT",
        "parent2": "TEXT",
        "root": "BLOB",
        "versions_root": "BLOB",
        "cause": "TEXT",
        "job": "TEXT",
        "message": "TEXT",
        "author": "TEXT",
        "started": "INTEGER",
        "finished": "INTEGER",
        "objects": "INTEGER",
        "bytes": "INTEGER",
        "logical_bytes": "INTEGER",
        "new_bytes": "INTEGER",
        "scope": "TEXT",  # staging layer while open, else NULL
    },
    ("id",),
    indexes={"by_repo": ("repo", "started", "id"), "by_branch_state": ("state", "repo", "branch")},
)

# Provenance edges: `commit_id` was made from `upstream`; `input` is the name the job knew it by.
PROVENANCE = Table(
    "provenance",
    {"commit_id": "TEXT", "upstream": "TEXT", "input": "TEXT"},
    ("commit_id", "upstream", "input"),
    indexes={"by_upstream": ("upstream", "commit_id")},
)

# A staging layer: rows over a base tree. `seq` rises with each write. `auto`: closed by its window,
# whose clock is `started` and `last_write`. `commit_id`: whose layer it is.
SCOPE = Table(
    "scope",
    {
        "id": "TEXT",
        "repo": "TEXT",
        "commit_id": "TEXT",
        "base_root": "BLOB",
        "seq": "INTEGER",
        "writes": "INTEGER",
        "logical_bytes": "INTEGER",
        "new_bytes": "INTEGER",
        "auto": "INTEGER",
        "started": "INTEGER",
        "last_write": "INTEGER",
    },
    ("id",),
    indexes={"by_auto": ("auto", "started"), "by_commit": ("commit_id",)},
)

# A staged row: an object record, or NULL for a deletion. `seq` is that of its last write.
STAGING = Table(
    "staging",
    {"scope": "TEXT", "path": "BLOB", "seq": "INTEGER", "record": "BLOB"},
    ("scope", "path"),
    indexes={"by_seq": ("scope", "seq")},  # what was written since a fold began
)

# A multipart upload in progress. `branch` or, when not empty, `scope` (of an open commit or a job)
# is what the upload's bucket meant when it began. `attrs`: an object record without content.
UPLOAD = Table(
    "upload",
    {
        "id": "TEXT",
        "repo": "TEXT",
        "branch": "TEXT",
        "scope": "TEXT",
        "path": "BLOB",
        "attrs": "BLOB",
        "initiated": "INTEGER",
        "checksum": "TEXT",  # announced: algorithm and kind with a space between, or empty
        "state": "TEXT",  # open, or completed (kept a while so that a repeat gets the same answer)
        "result": "BLOB",  # of a completed one: the object record
        "commit_id": "TEXT",  # of a completed one: the commit that holds it
    },
    ("id",),
    indexes={
        "by_target": ("repo", "branch", "scope", "path", "id"),
        "by_state": ("state", "initiated"),
    },
)

# A part: an object record (content, size, md5, checksums).
PART = Table(
    "part",
    {
        "upload": "TEXT",
        "number": "INTEGER",
        "record": "BLOB",
        "time": "INTEGER",
        "new_bytes": "INTEGER",  # of its body, that the store did not have
    },
    ("upload", "number"),
)

# A segment: `state` active, sealed. `length` is its durable length at the last change of state.
SEGMENT = Table(
    "segment",
    {
        "id": "INTEGER",
        "uuid": "TEXT",
        "class": "TEXT",
        "state": "TEXT",
        "life": "INTEGER",
        "length": "INTEGER",
        "created": "INTEGER",
    },
    ("id",),
)

# What happened, for those who wait for it: one row a move of a head, in the same transaction.
OUTBOX = Table(
    "outbox",
    {
        "id": "INTEGER",
        "repo": "TEXT",
        "ref": "TEXT",
        "head": "TEXT",
        "cause": "TEXT",
        "time": "INTEGER",
    },
    ("id",),
)
# The counter that orders it, and others like it.
COUNTER = Table("counter", {"name": "TEXT", "value": "INTEGER"}, ("name",))

# A branch in use (decisions/0000.22): who holds it, and why.
HOLD = Table(
    "hold",
    {"repo": "TEXT", "ref": "TEXT", "who": "TEXT", "why": "TEXT"},
    ("repo", "ref", "who"),
)

# `state`: running, paused. `spec`: the normalised spec as JSON; `source`: as given.
PIPELINE = Table(
    "pipeline",
    {
        "project": "TEXT",
        "name": "TEXT",
        "version": "INTEGER",
        "state": "TEXT",
        "spec": "TEXT",
        "source": "TEXT",
        "repo": "TEXT",
        "created": "INTEGER",
        "updated": "INTEGER",
    },
    ("project", "name"),
)

# `state`: created, running, finishing, success, failure, killed. `reason`: why it is in it.
JOB = Table(
    "job",
    {
        "id": "TEXT",
        "project": "TEXT",
        "pipeline": "TEXT",
        "version": "INTEGER",
        "spec": "TEXT",
        "state": "TEXT",
        "reason": "TEXT",
        "output_commit": "TEXT",
        "cause": "TEXT",
        "created": "INTEGER",
        "started": "INTEGER",
        "finished": "INTEGER",
        "detail": "TEXT",  # JSON: buckets served, files and bytes read and written, exit code
    },
    ("id",),
    indexes={
        "by_pipeline": ("project", "pipeline", "created", "id"),
        "by_state": ("state", "created"),
    },
)

# The input commits of a job. `digest` of all of them is what makes a set of inputs new.
JOB_INPUT = Table(
    "job_input",
    {
        "job": "TEXT",
        "name": "TEXT",
        "repo": "TEXT",
        "branch": "TEXT",
        "commit_id": "TEXT",
        "s3": "INTEGER",
    },
    ("job", "name"),
    indexes={"by_commit": ("commit_id", "job")},
)

# One try at one datum (decisions/0000.13). `scope`: its staging layer.
ATTEMPT = Table(
    "attempt",
    {
        "job": "TEXT",
        "datum": "TEXT",
        "number": "INTEGER",
        "state": "TEXT",  # running, success, failure, dropped
        "scope": "TEXT",
        "exit_code": "INTEGER",
        "reason": "TEXT",
        "started": "INTEGER",
        "finished": "INTEGER",
    },
    ("job", "datum", "number"),
    indexes={"by_state": ("state", "job")},
)

TABLES = (
    META,
    DOMAIN,
    PROJECT,
    REPO,
    REF,
    REF_LOG,
    COMMIT,
    PROVENANCE,
    SCOPE,
    STAGING,
    UPLOAD,
    PART,
    SEGMENT,
    OUTBOX,
    COUNTER,
    HOLD,
    PIPELINE,
    JOB,
    JOB_INPUT,
    ATTEMPT,
)
