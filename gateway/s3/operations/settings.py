"""What a bucket could be set to and is not: the answers that keep probing clients quiet.

Reading a setting that was never made is answered as AWS answers it, so that tools which look first
(s3cmd, minio-go, consoles) go on. Making one is not offered: 501, by the operation's name. The
access list is the one there is: all belongs to one owner; writing that list again is accepted.
"""

from __future__ import annotations

from gateway.errors import NotFound, Reason
from gateway.s3.attributes import check_acl
from gateway.s3.body import read_small
from gateway.s3.context import Context, Operation, xml_response
from gateway.s3.documents import OWNER_ID, acl, empty
from gateway.s3.endpoints import Endpoint
from gateway.s3.errors import S3Error
from gateway.wire.messages import Response
from gateway.wire.xml import parse

_E = Endpoint

_ABSENT: dict[Endpoint, str] = {
    _E.GET_BUCKET_CORS: "NoSuchCORSConfiguration",
    _E.GET_BUCKET_ENCRYPTION: "ServerSideEncryptionConfigurationNotFoundError",
    _E.GET_BUCKET_LIFECYCLE: "NoSuchLifecycleConfiguration",
    _E.GET_BUCKET_OWNERSHIP: "OwnershipControlsNotFoundError",
    _E.GET_BUCKET_POLICY: "NoSuchBucketPolicy",
    _E.GET_BUCKET_POLICY_STATUS: "NoSuchBucketPolicy",
    _E.GET_BUCKET_REPLICATION: "ReplicationConfigurationNotFoundError",
    _E.GET_BUCKET_TAGGING: "NoSuchTagSet",
    _E.GET_BUCKET_WEBSITE: "NoSuchWebsiteConfiguration",
    _E.GET_OBJECT_LOCK: "ObjectLockConfigurationNotFoundError",
    _E.GET_PUBLIC_ACCESS_BLOCK: "NoSuchPublicAccessBlockConfiguration",
}

_EMPTY: dict[Endpoint, bytes] = {
    _E.GET_BUCKET_ACCELERATE: empty("AccelerateConfiguration"),
    _E.GET_BUCKET_LOGGING: empty("BucketLoggingStatus"),
    _E.GET_BUCKET_NOTIFICATION: empty("NotificationConfiguration"),
    _E.GET_BUCKET_REQUEST_PAYMENT: empty(
        "RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"
    ),
}


async def read_absent(context: Context) -> Response:
    """Answer with the error that says that nothing was set."""
    await context.view()
    raise S3Error(_ABSENT[context.endpoint], xml={"BucketName": context.bucket})


async def read_empty(context: Context) -> Response:
    """Answer with the document that says that nothing was set."""
    await context.view()
    return xml_response(_EMPTY[context.endpoint])


async def get_acl(context: Context) -> Response:
    """Answer GetBucketAcl and GetObjectAcl: the owner may do all."""
    view = await context.view()
    if context.key and await context.versions.find(view, context.key) is None:
        raise NotFound(Reason.NO_SUCH_KEY, f"there is no {context.key!r}", key=context.key)
    return xml_response(acl())


async def put_acl(context: Context) -> Response:
    """Answer PutBucketAcl and PutObjectAcl: accepted when it says what holds anyway."""
    view = await context.writable()
    if context.key and await context.versions.find(view, context.key) is None:
        raise NotFound(Reason.NO_SUCH_KEY, f"there is no {context.key!r}", key=context.key)
    check_acl(context.request)
    data = await read_small(context.request, context.identity)
    if data.strip():
        policy = parse(data, "AccessControlPolicy")
        owner = policy.find("Owner")
        # A list that was read elsewhere names its own owner: clients send it with the object.
        owners = {OWNER_ID, None if owner is None else owner.value("ID")} - {None}
        grants = policy.find("AccessControlList")
        for grant in [] if grants is None else grants.find_all("Grant"):
            grantee = grant.find("Grantee")
            if grantee is not None and grantee.value("ID") not in owners:
                raise S3Error("AccessControlListNotSupported")
    return Response(200)


OPERATIONS: dict[Endpoint, Operation] = {
    **dict.fromkeys(_ABSENT, read_absent),
    **dict.fromkeys(_EMPTY, read_empty),
    _E.GET_BUCKET_ACL: get_acl,
    _E.GET_OBJECT_ACL: get_acl,
    _E.PUT_BUCKET_ACL: put_acl,
    _E.PUT_OBJECT_ACL: put_acl,
}
