"""One S3 request from its head to its answer.

The order is fixed, and each step can only refuse: route → authenticate → is it offered → bucket,
key and conditions → the body. The body is read by the operation itself, last of all: the first read
is what sends `100 Continue`, so that a client whose request is refused sends nothing.

Every failure is answered here, by the table in `errors`, and every answer carries the request's id.
A failure of ours (status 500 and above) is logged under that id; an exception that nobody foresaw
is answered as InternalError and logged with its traceback.
"""

from __future__ import annotations

import logging

from gateway.clock import Clock
from gateway.errors import Kind, SidegateError
from gateway.limits import KEY_SIZE_MAX
from gateway.s3.auth import Authenticator
from gateway.s3.context import XML_TYPE, Context, Operation
from gateway.s3.endpoints import Endpoint
from gateway.s3.errors import S3Error, render, translate
from gateway.s3.operations import (
    buckets as bucket_operations,
)
from gateway.s3.operations import (
    copy_object,
    get_object,
    list_objects,
    multipart,
    put_object,
    settings,
)
from gateway.s3.router import Route, route
from gateway.versions.store import Versions
from gateway.versions.views import Buckets
from gateway.wire.messages import Request, Response
from gateway.wire.target import Target, parse_target

_log = logging.getLogger(__name__)

_HOST_ID = "sidegate"  # x-amz-id-2; AWS uses it to find a machine, of which there is one

OPERATIONS: dict[Endpoint, Operation] = {
    Endpoint.LIST_BUCKETS: bucket_operations.list_all_buckets,
    Endpoint.CREATE_BUCKET: bucket_operations.create_bucket,
    Endpoint.HEAD_BUCKET: bucket_operations.head_bucket,
    Endpoint.DELETE_BUCKET: bucket_operations.delete_bucket,
    Endpoint.GET_BUCKET_LOCATION: bucket_operations.get_bucket_location,
    Endpoint.GET_BUCKET_VERSIONING: bucket_operations.get_bucket_versioning,
    Endpoint.LIST_OBJECTS: list_objects.list_objects,
    Endpoint.LIST_OBJECTS_V2: list_objects.list_objects_v2_page,
    Endpoint.LIST_OBJECT_VERSIONS: list_objects.list_object_versions,
    Endpoint.GET_OBJECT: get_object.get_object,
    Endpoint.HEAD_OBJECT: get_object.head_object,
    Endpoint.PUT_OBJECT: put_object.put_object,
    Endpoint.COPY_OBJECT: copy_object.copy_object,
    Endpoint.DELETE_OBJECT: put_object.delete_object,
    Endpoint.DELETE_OBJECTS: put_object.delete_objects,
    Endpoint.CREATE_MULTIPART_UPLOAD: multipart.create_upload,
    Endpoint.UPLOAD_PART: multipart.upload_part,
    Endpoint.UPLOAD_PART_COPY: multipart.upload_part_copy,
    Endpoint.COMPLETE_MULTIPART_UPLOAD: multipart.complete_upload,
    Endpoint.ABORT_MULTIPART_UPLOAD: multipart.abort_upload,
    Endpoint.LIST_PARTS: multipart.list_parts,
    Endpoint.LIST_MULTIPART_UPLOADS: multipart.list_uploads,
    **settings.OPERATIONS,
}
"""Every operation that is offered; the others of `Endpoint` are answered with 501."""


class S3Handler:
    """Answers S3 requests: the `wire.messages.Handler` of the global gateway and of each job."""

    def __init__(
        self,
        versions: Versions,
        buckets: Buckets,
        authenticator: Authenticator,
        clock: Clock,
        *,
        domain: str = "",
    ) -> None:
        """Serve `buckets`.

        Args:
            versions: where objects are.
            buckets: which names there are: all of them, or a job's.
            authenticator: who may come in.
            clock: for signatures and conditions.
            domain: where buckets are sub-domains (virtual-host style); empty: nowhere.
        """
        self._versions = versions
        self._buckets = buckets
        self._authenticator = authenticator
        self._clock = clock
        self._domain = domain.lower().encode("ascii")

    async def __call__(self, request: Request) -> Response:
        """Answer one request; only cancellation escapes."""
        found: Route | None = None
        try:
            target = parse_target(request.target)
            index = request.index
            found = route(
                request.method,
                target,
                copy=b"x-amz-copy-source" in index,
                host=index.get(b"host", b""),
                domain=self._domain,
            )
            response = await self._answer(request, target, found)
        except Exception as error:
            response = _refuse(request, found, error)
        response.headers.append((b"x-amz-request-id", request.id.encode("ascii")))
        response.headers.append((b"x-amz-id-2", b"sidegate"))
        return response

    async def _answer(self, request: Request, target: Target, found: Route) -> Response:
        endpoint, bucket, key = found
        now_ms = self._clock.now_ms()
        identity = self._authenticator.authenticate(request, target, now_ms)
        operation = OPERATIONS.get(endpoint)
        if operation is None:
            raise S3Error("NotImplemented", xml={"Operation": endpoint.value})
        if len(key) > KEY_SIZE_MAX:
            raise S3Error(
                "KeyTooLongError",
                xml={"Size": str(len(key)), "MaxSizeAllowed": str(KEY_SIZE_MAX)},
            )
        return await operation(
            Context(
                request,
                target,
                endpoint,
                bucket,
                key,
                identity,
                self._versions,
                self._buckets,
                now_ms,
            )
        )


def _refuse(request: Request, found: Route | None, error: Exception) -> Response:
    failure = translate(error)
    if failure.status >= 500:
        _report(request, found, error)
    if not failure.xml and found is not None:
        failure.xml = _subject(failure.code, found)
    headers = [XML_TYPE, *failure.headers]
    if request.method == b"HEAD":
        return Response(failure.status, headers)
    resource = request.target.partition(b"?")[0].decode("utf-8", "replace")
    document = render(failure, resource, request.id, _HOST_ID)
    return Response(failure.status, headers, document, len(document))


def _subject(code: str, found: Route) -> dict[str, str]:
    """Return what an error is about, as AWS's documents name it."""
    if code in {"NoSuchBucket", "InvalidBucketName", "BucketNotEmpty", "BucketAlreadyOwnedByYou"}:
        return {"BucketName": found.bucket}
    if code == "NoSuchKey":
        return {"Key": found.key.decode("utf-8", "replace")}
    return {}


def _report(request: Request, found: Route | None, error: Exception) -> None:
    what = found.endpoint.value if found is not None else request.method.decode("latin-1")
    if isinstance(error, SidegateError):
        level = logging.ERROR if error.kind is Kind.CORRUPT else logging.WARNING
        _log.log(level, "request %s (%s): %s", request.id, what, error.line())
    elif isinstance(error, S3Error):
        _log.info("request %s: %s is not offered", request.id, what)
    else:
        _log.error("request %s (%s) failed", request.id, what, exc_info=error)
