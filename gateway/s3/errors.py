"""The one table from failures to S3 errors, and how an S3 error is written.

Three sources end here. `S3Error` is raised inside `s3` for what only the protocol knows (a header
of the wrong form, an operation not offered). `wire` raises kinds from `gateway.errors` that carry
the S3 code in `data["s3_code"]` and further elements in `data["xml"]`, for it parses S3's own
formats. Everything below knows nothing of S3, and its reasons are translated by `BY_REASON`; a kind
decides where a reason is not listed. An exception of another class is a fault of ours: 500, and the
log has the traceback under the request's id.

Sentences: clients and test suites compare some messages verbatim, so the codes in `FIXED` always
say what AWS says. All others say what was wrong here, with values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from gateway.errors import Kind, Reason, SidegateError

# Code → (HTTP status, the sentence used when the raiser gives none).
CODES: Final[dict[str, tuple[int, str]]] = {
    "AccessControlListNotSupported": (400, "The bucket does not allow ACLs."),
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header is malformed."),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BadRequest": (400, "The request is malformed."),
    "BucketAlreadyOwnedByYou": (
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty."),
    "ConditionalRequestConflict": (
        409,
        (
            "The conditional request cannot succeed due to a conflicting operation against this "
            "resource."
        ),
    ),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "EntityTooSmall": (
        400,
        "Your proposed upload is smaller than the minimum allowed object size.",
    ),
    "IncompleteBody": (
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header.",
    ),
    # AWS has no code for a full disk. 503 would make every client try again and again; 507 says
    # what it is (RFC 4918, 11.5), and SDKs show the message at once.
    "InsufficientStorage": (507, "There is no space left to store this."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (
        403,
        "The AWS Access Key Id you provided does not exist in our records.",
    ),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidLocationConstraint": (400, "The specified location-constraint is not valid"),
    "InvalidPart": (
        400,
        (
            "One or more of the specified parts could not be found.  The part may not have been "
            "uploaded, or the specified entity tag may not match the part's entity tag."
        ),
    ),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    "InvalidRange": (416, "The requested range is not satisfiable"),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidStorageClass": (400, "The storage class you specified is not valid"),
    "InvalidTag": (400, "The tag provided was not a valid tag."),
    "InvalidToken": (400, "The provided token is malformed or otherwise invalid."),
    "InvalidURI": (400, "Couldn't parse the specified URI."),
    "KeyTooLongError": (400, "Your key is too long"),
    "MalformedTrailerError": (
        400,
        (
            "The request contained trailing data that was not well-formed or did not conform to "
            "our published schema."
        ),
    ),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MaxMessageLengthExceeded": (400, "Your request was too big."),
    "MetadataTooLarge": (
        400,
        "Your metadata headers exceed the maximum allowed metadata size",
    ),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist"),
    "NoSuchBucketPolicy": (404, "The bucket policy does not exist"),
    "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist"),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist"),
    "NoSuchPublicAccessBlockConfiguration": (
        404,
        "The public access block configuration was not found",
    ),
    "NoSuchTagSet": (404, "The TagSet does not exist"),
    "NoSuchUpload": (
        404,
        (
            "The specified upload does not exist. The upload ID may be invalid, or the upload may "
            "have been aborted or completed."
        ),
    ),
    "NoSuchWebsiteConfiguration": (
        404,
        "The specified bucket does not have a website configuration",
    ),
    "NotImplemented": (
        501,
        "A header you provided implies functionality that is not implemented.",
    ),
    "ObjectLockConfigurationNotFoundError": (
        404,
        "Object Lock configuration does not exist for this bucket",
    ),
    "OperationAborted": (
        409,
        (
            "A conflicting conditional operation is currently in progress against this resource. "
            "Try again."
        ),
    ),
    "OwnershipControlsNotFoundError": (404, "The bucket ownership controls were not found"),
    "PreconditionFailed": (
        412,
        "At least one of the pre-conditions you specified did not hold",
    ),
    "ReplicationConfigurationNotFoundError": (
        404,
        "The replication configuration was not found",
    ),
    "RequestTimeTooSkewed": (
        403,
        "The difference between the request time and the current time is too large.",
    ),
    "RequestTimeout": (
        400,
        (
            "Your socket connection to the server was not read from or written to within the "
            "timeout period. Idle connections will be closed."
        ),
    ),
    "ServerSideEncryptionConfigurationNotFoundError": (
        404,
        "The server side encryption configuration was not found",
    ),
    "ServiceUnavailable": (503, "Service is unable to handle request."),
    "SignatureDoesNotMatch": (
        403,
        (
            "The request signature we calculated does not match the signature you provided. Check "
            "your key and signing method."
        ),
    ),
    "SlowDown": (503, "Please reduce your request rate."),
    "XAmzContentSHA256Mismatch": (
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
}

# Codes whose sentence is always AWS's: clients compare them, or the raiser's words would tell a
# stranger more than he should know.
FIXED: Final = frozenset(
    {
        "BucketAlreadyOwnedByYou",
        "BucketNotEmpty",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchUpload",
        "RequestTimeout",
    }
)

BY_REASON: Final[dict[Reason, str]] = {
    Reason.NO_SUCH_PROJECT: "NoSuchBucket",
    Reason.NO_SUCH_REPO: "NoSuchBucket",
    Reason.NO_SUCH_BRANCH: "NoSuchBucket",
    Reason.NO_SUCH_COMMIT: "NoSuchBucket",  # a commit can only be named by a bucket
    Reason.NO_SUCH_BUCKET: "NoSuchBucket",
    Reason.NO_SUCH_KEY: "NoSuchKey",
    Reason.NO_SUCH_FILE: "NoSuchKey",
    Reason.NO_SUCH_UPLOAD: "NoSuchUpload",
    Reason.ALREADY_EXISTS: "BucketAlreadyOwnedByYou",
    Reason.NOT_EMPTY: "BucketNotEmpty",
    Reason.IN_USE: "OperationAborted",
    Reason.COMMIT_OPEN: "OperationAborted",
    Reason.COMMIT_NOT_OPEN: "OperationAborted",
    Reason.RACED: "ConditionalRequestConflict",
    Reason.WRONG_STATE: "OperationAborted",
    Reason.PRECONDITION_FAILED: "PreconditionFailed",
    Reason.BAD_NAME: "InvalidBucketName",
    Reason.BAD_ARGUMENT: "InvalidArgument",
    Reason.BAD_PART: "InvalidPart",
    Reason.BAD_PART_ORDER: "InvalidPartOrder",
    Reason.BAD_DIGEST: "BadDigest",
    Reason.KEY_TOO_LONG: "KeyTooLongError",
    Reason.METADATA_TOO_LARGE: "MetadataTooLarge",
    Reason.PART_TOO_SMALL: "EntityTooSmall",
    Reason.INCOMPLETE_BODY: "IncompleteBody",
    Reason.READ_ONLY: "AccessDenied",
    Reason.PROTECTED: "AccessDenied",
    Reason.NOT_ALLOWED: "AccessDenied",
    Reason.OBJECT_TOO_LARGE: "EntityTooLarge",
    Reason.LIMIT: "InvalidRequest",
    Reason.BUSY: "SlowDown",
    Reason.LOCKED: "ServiceUnavailable",
    Reason.DISK_FULL: "InsufficientStorage",
    Reason.READ_ONLY_STORE: "ServiceUnavailable",
    Reason.IO_ERROR: "InternalError",
    Reason.SHUTTING_DOWN: "ServiceUnavailable",
    Reason.CLIENT_GONE: "RequestTimeout",
    Reason.TIMEOUT: "RequestTimeout",
    Reason.NOT_IMPLEMENTED: "NotImplemented",
    Reason.DAMAGED: "InternalError",
    Reason.UNKNOWN_FORMAT: "InternalError",
}

BY_KIND: Final[dict[Kind, str]] = {
    Kind.NOT_FOUND: "NoSuchKey",
    Kind.CONFLICT: "OperationAborted",
    Kind.PRECONDITION: "PreconditionFailed",
    Kind.INVALID: "InvalidArgument",
    Kind.DENIED: "AccessDenied",
    Kind.TOO_LARGE: "EntityTooLarge",
    Kind.BUSY: "SlowDown",
    Kind.UNSUPPORTED: "NotImplemented",
    Kind.CORRUPT: "InternalError",
    Kind.UNAVAILABLE: "ServiceUnavailable",
}


# What the document of an error says besides, from the data that its raiser gave.
_ELEMENTS: Final[dict[Reason, dict[str, str]]] = {
    Reason.PRECONDITION_FAILED: {"condition": "Condition"},
    Reason.NO_SUCH_UPLOAD: {"upload": "UploadId"},
    Reason.BAD_PART: {"part": "PartNumber", "etag": "ETag"},
    Reason.PART_TOO_SMALL: {
        "part": "PartNumber",
        "etag": "ETag",
        "size": "ProposedSize",
        "minimum": "MinSizeAllowed",
    },
    Reason.KEY_TOO_LONG: {"size": "Size", "limit": "MaxSizeAllowed"},
}


class S3Error(Exception):
    """A failure that only the protocol knows: its S3 code, and what the answer says beside it.

    `xml` holds further elements of the error document, `headers` further response headers. The
    status is the code's own, unless S3 uses the code with another one.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        xml: Mapping[str, str] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        status: int = 0,
    ) -> None:
        standard_status, sentence = CODES[code]
        super().__init__(message or sentence)
        self.code = code
        self.status = status or standard_status
        self.message = message or sentence
        self.xml: Mapping[str, str] = xml or {}
        self.headers = headers

    def about(self, xml: Mapping[str, str]) -> S3Error:
        """Say which thing it is about, unless that is said already; return itself."""
        self.xml = self.xml or xml
        return self


def translate(error: Exception) -> S3Error:
    """Return the S3 error that answers `error`; one of an unknown class is InternalError."""
    if isinstance(error, S3Error):
        return error
    if not isinstance(error, SidegateError):
        return S3Error("InternalError")
    code = error.data.get("s3_code")
    if not isinstance(code, str) or code not in CODES:
        code = BY_REASON.get(error.reason) or BY_KIND[error.kind]
    elements = error.data.get("xml")
    if isinstance(elements, Mapping):
        xml = {str(name): str(value) for name, value in elements.items()}
    else:
        names = _ELEMENTS.get(error.reason, {})
        xml = {names[name]: str(value) for name, value in error.data.items() if name in names}
    if code in FIXED or error.reason is Reason.IO_ERROR:
        return S3Error(code, xml=xml)  # an I/O error's own words name our paths
    return S3Error(code, error.line(), xml=xml)


def code_of(error: SidegateError) -> tuple[str, str]:
    """Return the code and message of a failure, for documents that list errors one by one."""
    failure = translate(error)
    return failure.code, failure.message


def render(error: S3Error, resource: str, request_id: str, host_id: str) -> bytes:
    """Return the XML document of an error; S3's errors have no namespace."""
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>',
        error.code,
        "</Code><Message>",
        _text(error.message),
        "</Message>",
    ]
    for name, value in error.xml.items():
        parts += ("<", name, ">", _text(value), "</", name, ">")
    parts += ("<Resource>", _text(resource), "</Resource><RequestId>", request_id)
    parts += ("</RequestId><HostId>", host_id, "</HostId></Error>")
    return "".join(parts).encode("utf-8", "replace")


def _text(value: str) -> str:
    # Control characters cannot be written in XML 1.0 at all, not even as references (2.2). An error
    # is read by people and must parse, so that they are replaced here.
    return escape(value.translate(_UNPRINTABLE))


_UNPRINTABLE = {i: "\ufffd" for i in (*range(32), 0x7F, 0xFFFE, 0xFFFF) if i not in (9, 10, 13)}
