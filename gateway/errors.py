"""The kinds of failure, and nothing else.

One hierarchy, by kind. An error carries a *reason* from a closed set and data, so that each front
door can render it its own way: `s3.errors` owns the one table from reason to S3 code, `cli.output`
the one from kind to exit code. The message is for a person: what was wrong, and where; the hint
says what to do. Adapters translate foreign exceptions at their edge. `Corrupt` is never swallowed
and never retried.
"""

from __future__ import annotations

import enum
from typing import ClassVar


class Kind(enum.Enum):
    """What sort of failure it is; decides exit codes and default S3 codes."""

    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    PRECONDITION = "precondition failed"
    INVALID = "invalid"
    DENIED = "denied"
    TOO_LARGE = "too large"
    BUSY = "busy"
    UNSUPPORTED = "unsupported"
    CORRUPT = "corrupt"
    UNAVAILABLE = "unavailable"


class Reason(enum.StrEnum):
    """Why, exactly: a closed set that tables can be checked against."""

    # not found
    NO_SUCH_PROJECT = "no_such_project"
    NO_SUCH_REPO = "no_such_repo"
    NO_SUCH_BRANCH = "no_such_branch"
    NO_SUCH_COMMIT = "no_such_commit"
    NO_SUCH_BUCKET = "no_such_bucket"
    NO_SUCH_KEY = "no_such_key"
    NO_SUCH_UPLOAD = "no_such_upload"
    NO_SUCH_PIPELINE = "no_such_pipeline"
    NO_SUCH_JOB = "no_such_job"
    NO_SUCH_FILE = "no_such_file"
    # conflict
    ALREADY_EXISTS = "already_exists"
    NOT_EMPTY = "not_empty"
    IN_USE = "in_use"
    COMMIT_OPEN = "commit_open"
    COMMIT_NOT_OPEN = "commit_not_open"
    RACED = "raced"
    WRONG_STATE = "wrong_state"
    # precondition
    PRECONDITION_FAILED = "precondition_failed"
    # invalid
    BAD_NAME = "bad_name"
    BAD_ARGUMENT = "bad_argument"
    BAD_SPEC = "bad_spec"
    BAD_USAGE = "bad_usage"
    BAD_PART = "bad_part"
    BAD_PART_ORDER = "bad_part_order"
    BAD_DIGEST = "bad_digest"
    KEY_TOO_LONG = "key_too_long"
    METADATA_TOO_LARGE = "metadata_too_large"
    PART_TOO_SMALL = "part_too_small"
    INCOMPLETE_BODY = "incomplete_body"
    # denied
    READ_ONLY = "read_only"
    PROTECTED = "protected"
    NOT_ALLOWED = "not_allowed"
    # too large
    OBJECT_TOO_LARGE = "object_too_large"
    LIMIT = "limit"
    # busy, unavailable
    BUSY = "busy"
    LOCKED = "locked"
    DISK_FULL = "disk_full"
    READ_ONLY_STORE = "read_only_store"
    IO_ERROR = "io_error"
    PORT_IN_USE = "port_in_use"
    SHUTTING_DOWN = "shutting_down"
    NO_SERVER = "no_server"
    CLIENT_GONE = "client_gone"
    TIMEOUT = "timeout"
    # unsupported
    NOT_IMPLEMENTED = "not_implemented"
    # corrupt
    DAMAGED = "damaged"
    UNKNOWN_FORMAT = "unknown_format"


class SidegateError(Exception):
    """Base of every error that this project raises on purpose; never raised itself."""

    kind: ClassVar[Kind]

    def __init__(self, reason: Reason, message: str, hint: str = "", **data: object) -> None:
        if type(self) is SidegateError:
            raise TypeError("raise a subclass that names the kind")
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.data = data

    def line(self) -> str:
        """Return the error as one line: what was wrong, and what to do."""
        text = f"{self.message}; {self.hint}" if self.hint else self.message
        return " ".join(text.split())


class NotFound(SidegateError):
    """The thing named is not there."""

    kind = Kind.NOT_FOUND


class Conflict(SidegateError):
    """The state forbids it: something exists, is in use, or moved meanwhile."""

    kind = Kind.CONFLICT


class PreconditionFailed(SidegateError):
    """A condition that the caller stated does not hold."""

    kind = Kind.PRECONDITION


class Invalid(SidegateError):
    """What was asked is malformed or breaks a stated rule."""

    kind = Kind.INVALID


class Denied(SidegateError):
    """The caller may not do that here."""

    kind = Kind.DENIED


class TooLarge(SidegateError):
    """A bound of `limits` would be passed."""

    kind = Kind.TOO_LARGE


class Busy(SidegateError):
    """Not now; the same request may succeed later."""

    kind = Kind.BUSY


class Unsupported(SidegateError):
    """Recognised, and not offered."""

    kind = Kind.UNSUPPORTED


class Corrupt(SidegateError):
    """Stored bytes are not what was written; never swallowed, never retried."""

    kind = Kind.CORRUPT


class Unavailable(SidegateError):
    """The means to do it are missing: disk full, locked elsewhere, no server."""

    kind = Kind.UNAVAILABLE
