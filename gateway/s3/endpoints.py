"""Every S3 operation that is recognised: the closed set that a request is routed to.

Recognised is more than offered. A request for an operation that is not offered is answered with 501
and the operation's own name, rather than with whatever its path would mean without its
sub-resource: `DELETE /bucket?policy` must never delete the bucket. Which of these are offered is
said by the table in `handler`, and told in `docs/s3.md`.
"""

from __future__ import annotations

import enum


class Level(enum.IntEnum):
    """What the path names."""

    SERVICE = 0
    BUCKET = 1
    OBJECT = 2


class Endpoint(enum.StrEnum):
    """One S3 operation; the value is the name that AWS gives it."""

    # service
    LIST_BUCKETS = "ListBuckets"
    # bucket
    CREATE_BUCKET = "CreateBucket"
    HEAD_BUCKET = "HeadBucket"
    DELETE_BUCKET = "DeleteBucket"
    GET_BUCKET_LOCATION = "GetBucketLocation"
    LIST_OBJECTS = "ListObjects"
    LIST_OBJECTS_V2 = "ListObjectsV2"
    LIST_OBJECT_VERSIONS = "ListObjectVersions"
    LIST_MULTIPART_UPLOADS = "ListMultipartUploads"
    DELETE_OBJECTS = "DeleteObjects"
    POST_OBJECT = "PostObject"
    PREFLIGHT = "CORS preflight"
    CREATE_SESSION = "CreateSession"
    GET_BUCKET_ACCELERATE = "GetBucketAccelerateConfiguration"
    PUT_BUCKET_ACCELERATE = "PutBucketAccelerateConfiguration"
    GET_BUCKET_ACL = "GetBucketAcl"
    PUT_BUCKET_ACL = "PutBucketAcl"
    GET_BUCKET_ANALYTICS = "GetBucketAnalyticsConfiguration"
    PUT_BUCKET_ANALYTICS = "PutBucketAnalyticsConfiguration"
    DELETE_BUCKET_ANALYTICS = "DeleteBucketAnalyticsConfiguration"
    GET_BUCKET_CORS = "GetBucketCors"
    PUT_BUCKET_CORS = "PutBucketCors"
    DELETE_BUCKET_CORS = "DeleteBucketCors"
    GET_BUCKET_ENCRYPTION = "GetBucketEncryption"
    PUT_BUCKET_ENCRYPTION = "PutBucketEncryption"
    DELETE_BUCKET_ENCRYPTION = "DeleteBucketEncryption"
    GET_BUCKET_INTELLIGENT_TIERING = "GetBucketIntelligentTieringConfiguration"
    PUT_BUCKET_INTELLIGENT_TIERING = "PutBucketIntelligentTieringConfiguration"
    DELETE_BUCKET_INTELLIGENT_TIERING = "DeleteBucketIntelligentTieringConfiguration"
    GET_BUCKET_INVENTORY = "GetBucketInventoryConfiguration"
    PUT_BUCKET_INVENTORY = "PutBucketInventoryConfiguration"
    DELETE_BUCKET_INVENTORY = "DeleteBucketInventoryConfiguration"
    GET_BUCKET_LIFECYCLE = "GetBucketLifecycleConfiguration"
    PUT_BUCKET_LIFECYCLE = "PutBucketLifecycleConfiguration"
    DELETE_BUCKET_LIFECYCLE = "DeleteBucketLifecycle"
    GET_BUCKET_LOGGING = "GetBucketLogging"
    PUT_BUCKET_LOGGING = "PutBucketLogging"
    GET_BUCKET_METRICS = "GetBucketMetricsConfiguration"
    PUT_BUCKET_METRICS = "PutBucketMetricsConfiguration"
    DELETE_BUCKET_METRICS = "DeleteBucketMetricsConfiguration"
    GET_BUCKET_NOTIFICATION = "GetBucketNotificationConfiguration"
    PUT_BUCKET_NOTIFICATION = "PutBucketNotificationConfiguration"
    GET_OBJECT_LOCK = "GetObjectLockConfiguration"
    PUT_OBJECT_LOCK = "PutObjectLockConfiguration"
    GET_BUCKET_OWNERSHIP = "GetBucketOwnershipControls"
    PUT_BUCKET_OWNERSHIP = "PutBucketOwnershipControls"
    DELETE_BUCKET_OWNERSHIP = "DeleteBucketOwnershipControls"
    GET_BUCKET_POLICY = "GetBucketPolicy"
    PUT_BUCKET_POLICY = "PutBucketPolicy"
    DELETE_BUCKET_POLICY = "DeleteBucketPolicy"
    GET_BUCKET_POLICY_STATUS = "GetBucketPolicyStatus"
    GET_PUBLIC_ACCESS_BLOCK = "GetPublicAccessBlock"
    PUT_PUBLIC_ACCESS_BLOCK = "PutPublicAccessBlock"
    DELETE_PUBLIC_ACCESS_BLOCK = "DeletePublicAccessBlock"
    GET_BUCKET_REPLICATION = "GetBucketReplication"
    PUT_BUCKET_REPLICATION = "PutBucketReplication"
    DELETE_BUCKET_REPLICATION = "DeleteBucketReplication"
    GET_BUCKET_REQUEST_PAYMENT = "GetBucketRequestPayment"
    PUT_BUCKET_REQUEST_PAYMENT = "PutBucketRequestPayment"
    GET_BUCKET_TAGGING = "GetBucketTagging"
    PUT_BUCKET_TAGGING = "PutBucketTagging"
    DELETE_BUCKET_TAGGING = "DeleteBucketTagging"
    GET_BUCKET_VERSIONING = "GetBucketVersioning"
    PUT_BUCKET_VERSIONING = "PutBucketVersioning"
    GET_BUCKET_WEBSITE = "GetBucketWebsite"
    PUT_BUCKET_WEBSITE = "PutBucketWebsite"
    DELETE_BUCKET_WEBSITE = "DeleteBucketWebsite"
    # object
    GET_OBJECT = "GetObject"
    HEAD_OBJECT = "HeadObject"
    PUT_OBJECT = "PutObject"
    COPY_OBJECT = "CopyObject"
    DELETE_OBJECT = "DeleteObject"
    CREATE_MULTIPART_UPLOAD = "CreateMultipartUpload"
    UPLOAD_PART = "UploadPart"
    UPLOAD_PART_COPY = "UploadPartCopy"
    COMPLETE_MULTIPART_UPLOAD = "CompleteMultipartUpload"
    ABORT_MULTIPART_UPLOAD = "AbortMultipartUpload"
    LIST_PARTS = "ListParts"
    GET_OBJECT_ACL = "GetObjectAcl"
    PUT_OBJECT_ACL = "PutObjectAcl"
    GET_OBJECT_ATTRIBUTES = "GetObjectAttributes"
    GET_OBJECT_LEGAL_HOLD = "GetObjectLegalHold"
    PUT_OBJECT_LEGAL_HOLD = "PutObjectLegalHold"
    GET_OBJECT_RETENTION = "GetObjectRetention"
    PUT_OBJECT_RETENTION = "PutObjectRetention"
    GET_OBJECT_TAGGING = "GetObjectTagging"
    PUT_OBJECT_TAGGING = "PutObjectTagging"
    DELETE_OBJECT_TAGGING = "DeleteObjectTagging"
    GET_OBJECT_TORRENT = "GetObjectTorrent"
    RESTORE_OBJECT = "RestoreObject"
    SELECT_OBJECT_CONTENT = "SelectObjectContent"
    RENAME_OBJECT = "RenameObject"


_E = Endpoint

# The plain operation of each level and method: no sub-resource in the query.
PLAIN: dict[tuple[Level, bytes], Endpoint] = {
    (Level.SERVICE, b"GET"): _E.LIST_BUCKETS,
    (Level.SERVICE, b"HEAD"): _E.LIST_BUCKETS,
    (Level.SERVICE, b"OPTIONS"): _E.PREFLIGHT,
    (Level.BUCKET, b"GET"): _E.LIST_OBJECTS,
    (Level.BUCKET, b"HEAD"): _E.HEAD_BUCKET,
    (Level.BUCKET, b"PUT"): _E.CREATE_BUCKET,
    (Level.BUCKET, b"DELETE"): _E.DELETE_BUCKET,
    (Level.BUCKET, b"POST"): _E.POST_OBJECT,
    (Level.BUCKET, b"OPTIONS"): _E.PREFLIGHT,
    (Level.OBJECT, b"GET"): _E.GET_OBJECT,
    (Level.OBJECT, b"HEAD"): _E.HEAD_OBJECT,
    (Level.OBJECT, b"PUT"): _E.PUT_OBJECT,
    (Level.OBJECT, b"DELETE"): _E.DELETE_OBJECT,
    (Level.OBJECT, b"OPTIONS"): _E.PREFLIGHT,
}

# What a sub-resource turns a request into, by method. A known name with another method is 405.
BUCKET_RESOURCES: dict[bytes, dict[bytes, Endpoint]] = {
    b"accelerate": {b"GET": _E.GET_BUCKET_ACCELERATE, b"PUT": _E.PUT_BUCKET_ACCELERATE},
    b"acl": {b"GET": _E.GET_BUCKET_ACL, b"PUT": _E.PUT_BUCKET_ACL},
    b"analytics": {
        b"GET": _E.GET_BUCKET_ANALYTICS,
        b"PUT": _E.PUT_BUCKET_ANALYTICS,
        b"DELETE": _E.DELETE_BUCKET_ANALYTICS,
    },
    b"cors": {
        b"GET": _E.GET_BUCKET_CORS,
        b"PUT": _E.PUT_BUCKET_CORS,
        b"DELETE": _E.DELETE_BUCKET_CORS,
    },
    b"delete": {b"POST": _E.DELETE_OBJECTS},
    b"encryption": {
        b"GET": _E.GET_BUCKET_ENCRYPTION,
        b"PUT": _E.PUT_BUCKET_ENCRYPTION,
        b"DELETE": _E.DELETE_BUCKET_ENCRYPTION,
    },
    b"intelligent-tiering": {
        b"GET": _E.GET_BUCKET_INTELLIGENT_TIERING,
        b"PUT": _E.PUT_BUCKET_INTELLIGENT_TIERING,
        b"DELETE": _E.DELETE_BUCKET_INTELLIGENT_TIERING,
    },
    b"inventory": {
        b"GET": _E.GET_BUCKET_INVENTORY,
        b"PUT": _E.PUT_BUCKET_INVENTORY,
        b"DELETE": _E.DELETE_BUCKET_INVENTORY,
    },
    b"lifecycle": {
        b"GET": _E.GET_BUCKET_LIFECYCLE,
        b"PUT": _E.PUT_BUCKET_LIFECYCLE,
        b"DELETE": _E.DELETE_BUCKET_LIFECYCLE,
    },
    b"location": {b"GET": _E.GET_BUCKET_LOCATION},
    b"logging": {b"GET": _E.GET_BUCKET_LOGGING, b"PUT": _E.PUT_BUCKET_LOGGING},
    b"metrics": {
        b"GET": _E.GET_BUCKET_METRICS,
        b"PUT": _E.PUT_BUCKET_METRICS,
        b"DELETE": _E.DELETE_BUCKET_METRICS,
    },
    b"notification": {
        b"GET": _E.GET_BUCKET_NOTIFICATION,
        b"PUT": _E.PUT_BUCKET_NOTIFICATION,
    },
    b"object-lock": {b"GET": _E.GET_OBJECT_LOCK, b"PUT": _E.PUT_OBJECT_LOCK},
    b"ownershipControls": {
        b"GET": _E.GET_BUCKET_OWNERSHIP,
        b"PUT": _E.PUT_BUCKET_OWNERSHIP,
        b"DELETE": _E.DELETE_BUCKET_OWNERSHIP,
    },
    b"policy": {
        b"GET": _E.GET_BUCKET_POLICY,
        b"PUT": _E.PUT_BUCKET_POLICY,
        b"DELETE": _E.DELETE_BUCKET_POLICY,
    },
    b"policyStatus": {b"GET": _E.GET_BUCKET_POLICY_STATUS},
    b"publicAccessBlock": {
        b"GET": _E.GET_PUBLIC_ACCESS_BLOCK,
        b"PUT": _E.PUT_PUBLIC_ACCESS_BLOCK,
        b"DELETE": _E.DELETE_PUBLIC_ACCESS_BLOCK,
    },
    b"replication": {
        b"GET": _E.GET_BUCKET_REPLICATION,
        b"PUT": _E.PUT_BUCKET_REPLICATION,
        b"DELETE": _E.DELETE_BUCKET_REPLICATION,
    },
    b"requestPayment": {
        b"GET": _E.GET_BUCKET_REQUEST_PAYMENT,
        b"PUT": _E.PUT_BUCKET_REQUEST_PAYMENT,
    },
    b"session": {b"GET": _E.CREATE_SESSION},
    b"tagging": {
        b"GET": _E.GET_BUCKET_TAGGING,
        b"PUT": _E.PUT_BUCKET_TAGGING,
        b"DELETE": _E.DELETE_BUCKET_TAGGING,
    },
    b"uploads": {b"GET": _E.LIST_MULTIPART_UPLOADS},
    b"versioning": {b"GET": _E.GET_BUCKET_VERSIONING, b"PUT": _E.PUT_BUCKET_VERSIONING},
    b"versions": {b"GET": _E.LIST_OBJECT_VERSIONS},
    b"website": {
        b"GET": _E.GET_BUCKET_WEBSITE,
        b"PUT": _E.PUT_BUCKET_WEBSITE,
        b"DELETE": _E.DELETE_BUCKET_WEBSITE,
    },
}

OBJECT_RESOURCES: dict[bytes, dict[bytes, Endpoint]] = {
    b"acl": {b"GET": _E.GET_OBJECT_ACL, b"PUT": _E.PUT_OBJECT_ACL},
    b"attributes": {b"GET": _E.GET_OBJECT_ATTRIBUTES},
    b"legal-hold": {b"GET": _E.GET_OBJECT_LEGAL_HOLD, b"PUT": _E.PUT_OBJECT_LEGAL_HOLD},
    b"renameObject": {b"PUT": _E.RENAME_OBJECT},
    b"restore": {b"POST": _E.RESTORE_OBJECT},
    b"retention": {b"GET": _E.GET_OBJECT_RETENTION, b"PUT": _E.PUT_OBJECT_RETENTION},
    b"select": {b"POST": _E.SELECT_OBJECT_CONTENT},
    b"tagging": {
        b"GET": _E.GET_OBJECT_TAGGING,
        b"PUT": _E.PUT_OBJECT_TAGGING,
        b"DELETE": _E.DELETE_OBJECT_TAGGING,
    },
    b"torrent": {b"GET": _E.GET_OBJECT_TORRENT},
    b"uploadId": {
        b"GET": _E.LIST_PARTS,
        b"PUT": _E.UPLOAD_PART,
        b"POST": _E.COMPLETE_MULTIPART_UPLOAD,
        b"DELETE": _E.ABORT_MULTIPART_UPLOAD,
    },
    b"uploads": {b"POST": _E.CREATE_MULTIPART_UPLOAD},
}
