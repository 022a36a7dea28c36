"""Every bound, each with its reason. Nothing here is read from outside; `config` holds settings.

Sizes are bytes, times seconds, unless the name says otherwise.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# --- server: heads and connections -------------------------------------------------------------
HEAD_SIZE_MAX = 64 * KIB  # V4 presigned heads with metadata reach 11 kB; h11's 16 KiB is too near
HEADER_COUNT_MAX = 1024  # fields of one head; 2 KiB of user metadata cannot be more
HEAD_BLOCK_SIZE = 16 * KIB  # a connection begins with so much and grows to HEAD_SIZE_MAX
HEAD_READ_TIMEOUT_S = 30.0  # a head arrives in one packet or so; slower is a slow-loris
IDLE_TIMEOUT_S = 120.0  # keep-alive; longer than the pools of common SDKs (60 s and less)
BODY_STALL_TIMEOUT_S = 60.0  # no byte of an announced body for so long: RequestTimeout
BODY_RATE_MIN = 64  # bytes a second averaged over BODY_RATE_WINDOW_S; below, the client is a drip
BODY_RATE_WINDOW_S = 300.0  # a link that drops out for a minute or two is not a drip
BODY_CROWDED_S = 10.0  # after so long without a byte, or below the next rate, an upload that
BODY_CROWDED_RATE_MIN = 1 * KIB  # holds an arena (bytes a second) makes way for one that waits
WRITE_STALL_TIMEOUT_S = 120.0  # a reader that takes nothing for so long is dropped
CONNECTIONS_MAX = 4096  # each costs a socket and about 70 KiB when idle
DRAIN_TIMEOUT_S = 30.0  # after SIGTERM, requests under way get so long
EARLY_ERROR_DRAIN_MAX = 1 * MIB  # unread body swallowed after an error, to keep the connection
LINGER_SIZE_MAX = 32 * MIB  # swallowed before closing, so that the client can read the answer:
LINGER_TIMEOUT_S = 5.0  # what two full socket buffers hold, and then some
ABORT_GRACE_S = 5.0  # a handler whose client is cut off gets so long to finish its commit
REFUSALS_MAX = 64  # connections above CONNECTIONS_MAX that are told so; more are dropped unheard
WRITE_HIGH_WATER = 1 * MIB  # bytes queued to one socket before the store is held back
WRITE_LOW_WATER = 256 * KIB
WRITE_SLICE_MAX = 2 * MIB  # one write: fewer wake-ups, and readers still take turns
WRITE_TURN_MAX = 4 * MIB  # about 1 ms of copying; then others have their turn

# --- server: bodies ----------------------------------------------------------------------------
ARENA_SIZE = 2 * MIB  # one window of body in flight
ARENA_BUDGET = 256 * MIB  # all arenas of a process; uploads wait when it is used up
ARENAS_FREE_MAX = 16  # kept for reuse; more would make a burst's memory permanent
SMALL_BODY_MAX = 64 * KIB  # received beside the head, with no arena
WINDOW_MIN = 1 * MIB  # a window is handed on when so full, or at the end of the body
XML_BODY_MAX = 4 * MIB  # 1,000 keys of 1 KiB, escaped; 10,000 parts with checksums is 2 MB

# --- S3 ----------------------------------------------------------------------------------------
KEY_SIZE_MAX = 1024  # S3
USER_METADATA_SIZE_MAX = 2 * KIB  # S3: names and values together
PUT_SIZE_MAX = 5 * GIB  # S3: one PUT, part or copy
PART_NUMBER_MAX = 10_000  # S3
PART_SIZE_MIN = 5 * MIB  # S3: all parts but the last
OBJECT_SIZE_MAX = PART_NUMBER_MAX * PUT_SIZE_MAX  # what the arithmetic of parts allows
LIST_KEYS_MAX = 1000  # S3: a page
DELETE_KEYS_MAX = 1000  # S3: one DeleteObjects
BUCKET_NAME_MAX = 255  # four names of the grammar, and what file systems and DNS tools take
CLOCK_SKEW_MAX_S = 15 * 60  # S3
CHUNK_HEADER_SIZE_MAX = 1 * KIB  # aws-chunked: one size line
TRAILER_SIZE_MAX = 8 * KIB  # a checksum and a signature take 200 bytes

# --- store -------------------------------------------------------------------------------------
CHUNK_SIZE_MIN = 32 * KIB
CHUNK_SIZE_AVG = 64 * KIB
CHUNK_SIZE_MAX = 256 * KIB
SMALL_SIZE_MAX = 64 * KIB  # one chunk, never cut
INLINE_SIZE_MAX = 64  # held in the tree's leaf itself (decisions/0000.3)
SEGMENT_SIZE_MAX = 256 * MIB
EXTENT_SIZE_MAX = 16 * MIB  # format bound
EXTENT_FLUSH_SIZE = 4 * MIB  # an extent is written when so full, or when the disk is idle
NODE_CACHE_SIZE = 64 * MIB  # decoded tree nodes: all inner nodes of 100,000,000 paths
MANIFEST_CACHE_SIZE = 16 * MIB  # decoded manifests: of some 14 GiB of objects
PART_TABLE_CACHE_SIZE = 8 * MIB  # decoded part tables: two of 10,000 parts, or many small ones
READ_STEP_SIZE = 2 * MIB  # a body is located and handed on in such pieces

# --- versions ----------------------------------------------------------------------------------
AUTO_COMMIT_QUIET_S = 1.0  # a burst has ended: longer than the pauses within one
AUTO_COMMIT_AGE_S = 30.0  # a writer that never pauses: its readers wait no longer for a commit
AUTO_COMMIT_KEYS = 10_000  # folds in well under a second
AUTO_COMMIT_BYTES = 1 * GIB  # so that one commit stays a size one can look at
UPLOAD_AGE_MAX_S = 7 * 24 * 3600  # an upload forgotten for so long is aborted
MESSAGE_SIZE_MAX = 64 * KIB  # a message, not a document: it travels with every listing

# --- pipelines ---------------------------------------------------------------------------------
SPEC_SIZE_MAX = 1 * MIB  # hand-written specs are some KiB; parsing is quick at this size
JOB_DRAIN_S = 10.0  # requests under way when user code ends (decisions/0000.14)
LOG_SIZE_MAX = 64 * MIB  # of one attempt; the rest is dropped and said so
DATUMS_MAX = 10_000  # of one job; each costs a process and a gateway
JOBS_RUNNING_MAX = 4  # at a time, of different pipelines; user code is what loads the machine
JOB_STOP_GRACE_S = 5.0  # from SIGTERM to SIGKILL
WRITTEN_KEYS_MAX = 1000  # of those a job wrote, kept in its record
LOG_TAIL_LINES = 5  # of the user code's log, in the reason of a failure
