"""An object's own headers: from a request into what is stored, and back into an answer.

Values are kept byte for byte (text with surrogates where they are not UTF-8). Content-Encoding
loses `aws-chunked`, which is only framing. A request that asks for something which is not done here
(encryption, locks, grants to others) is refused by name rather than obeyed in part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from gateway.limits import USER_METADATA_SIZE_MAX
from gateway.s3.errors import S3Error
from gateway.versions.model import ObjectAttributes, ObjectRecord
from gateway.wire.messages import Request
from gateway.wire.payload import strip_aws_chunked

DEFAULT_TYPE: Final = b"binary/octet-stream"
_META: Final = b"x-amz-meta-"
_META_SIZE: Final = len(_META)
_TYPE: Final = "content-type"
_STORAGE: Final = "x-amz-storage-class"

# Stored header → its name in answers. The type is always said, and is written apart.
_STORED: Final[dict[bytes, str]] = {
    name: name.decode()
    for name in (
        b"content-type",
        b"content-encoding",
        b"cache-control",
        b"content-disposition",
        b"content-language",
        b"expires",
        b"x-amz-storage-class",
        b"x-amz-website-redirect-location",
    )
}
_SHOWN: Final[dict[str, bytes]] = {
    "content-encoding": b"Content-Encoding",
    "cache-control": b"Cache-Control",
    "content-disposition": b"Content-Disposition",
    "content-language": b"Content-Language",
    "expires": b"Expires",
    _STORAGE: b"x-amz-storage-class",
    "x-amz-website-redirect-location": b"x-amz-website-redirect-location",
}
# Query parameter → the header that it overrides in the answer to a GET.
OVERRIDES: Final[dict[bytes, bytes]] = {
    b"response-content-type": b"Content-Type",
    b"response-content-language": b"Content-Language",
    b"response-expires": b"Expires",
    b"response-cache-control": b"Cache-Control",
    b"response-content-disposition": b"Content-Disposition",
    b"response-content-encoding": b"Content-Encoding",
}

_STORAGE_CLASSES: Final = frozenset(
    {
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
        "EXPRESS_ONEZONE",
    }
)  # those that can be read at once; an archive would need RestoreObject
_ACLS: Final = frozenset({b"private", b"bucket-owner-full-control", b"bucket-owner-read"})
_ACL: Final = b"x-amz-acl"
_ACL_NAMES: Final = (_ACL, b"x-amz-grant-")
_REFUSED: Final = (
    b"x-amz-server-side-encryption",
    b"x-amz-object-lock-",
    b"x-amz-write-offset-bytes",
    b"x-amz-copy-source-server-side-encryption",
)

_TAGS_MAX: Final = 10  # S3: tags of an object, their keys and values
_TAG_KEY_MAX: Final = 128
_TAG_VALUE_MAX: Final = 256


def parse_attributes(request: Request) -> ObjectAttributes:
    """Return what the headers of a PUT, a copy or a new upload say about the object.

    Raises:
        S3Error: MetadataTooLarge, InvalidTag, InvalidArgument (storage class), NotImplemented,
            AccessControlListNotSupported.
    """
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    size = 0
    for name, value in request.index.items():
        stored = _STORED.get(name)
        if stored is not None:
            text = _text(strip_aws_chunked(value) if name == b"content-encoding" else value)
            if text:
                headers[stored] = text
        elif name.startswith(b"x-amz-"):
            if name.startswith(_META):
                size += len(name) - _META_SIZE + len(value)
                metadata[_text(name[_META_SIZE:])] = _text(value)
            elif name == b"x-amz-tagging":
                tags = parse_tagging(value)
            elif name.startswith(_ACL_NAMES):
                _check_acl(name, value)
            elif name.startswith(_REFUSED):
                _refuse(name)
    if size > USER_METADATA_SIZE_MAX:
        raise S3Error(
            "MetadataTooLarge",
            xml={"Size": str(size), "MaxSizeAllowed": str(USER_METADATA_SIZE_MAX)},
        )
    storage = headers.get(_STORAGE)
    if storage is not None:
        if storage not in _STORAGE_CLASSES:
            raise S3Error("InvalidStorageClass")
        if storage == "STANDARD":
            del headers[_STORAGE]
    return ObjectAttributes(headers, metadata, tags)


def refuse_unsupported(request: Request) -> None:
    """Refuse a request whose headers ask for what is not done here.

    Raises:
        S3Error: NotImplemented, naming the header.
    """
    for name in request.index:
        if name.startswith(_REFUSED):
            _refuse(name)


def parse_tagging(value: bytes) -> dict[str, str]:
    """Read x-amz-tagging: `a=b&c`, URL-encoded; a key alone has the empty value.

    Raises:
        S3Error: InvalidTag, a key twice or above S3's bounds.
    """
    pairs = parse_qsl(_text(value), keep_blank_values=True)
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key")
    if len(tags) > _TAGS_MAX:
        raise S3Error("InvalidTag", f"Object tags cannot be greater than {_TAGS_MAX}")
    for key, content in tags.items():
        if not 0 < len(key) <= _TAG_KEY_MAX:
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid")
        if len(content) > _TAG_VALUE_MAX:
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid")
    return tags


def check_acl(request: Request) -> None:
    """Accept the canned lists that change nothing here; all belongs to one owner.

    Raises:
        S3Error: AccessControlListNotSupported, a header that would let others in.
    """
    for name, value in request.index.items():
        if name.startswith(_ACL_NAMES):
            _check_acl(name, value)


def object_headers(record: ObjectRecord) -> list[tuple[bytes, bytes]]:
    """Return the headers that an object carries of its own: type, encoding, metadata."""
    stored = record.headers
    kind = stored.get(_TYPE)
    out = [(b"Content-Type", DEFAULT_TYPE if kind is None else encode(kind))]
    for name, value in stored.items():
        shown = _SHOWN.get(name)
        if shown is not None:
            out.append((shown, encode(value)))
    for name, value in record.metadata.items():
        out.append((_META + encode(name), encode(value)))
    if record.tags:
        out.append((b"x-amz-tagging-count", b"%d" % len(record.tags)))
    return out


def kept_attributes(record: ObjectRecord, storage_class: str | None) -> ObjectAttributes:
    """Return an object's attributes as a copy keeps them: all but the storage class."""
    headers = {name: value for name, value in record.headers.items() if name != _STORAGE}
    if storage_class is not None:
        headers[_STORAGE] = storage_class
    return ObjectAttributes(headers, record.metadata, record.tags)


def same_attributes(record: ObjectRecord, attributes: ObjectAttributes) -> bool:
    """Tell whether an object has these attributes already."""
    return (
        _equal(record.headers, attributes.headers)
        and _equal(record.metadata, attributes.metadata)
        and _equal(record.tags, attributes.tags)
    )


def encode(text: str) -> bytes:
    """Return stored text as the bytes that arrived."""
    return text.encode("utf-8", "surrogateescape")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _equal(left: Mapping[str, str], right: Mapping[str, str]) -> bool:
    return dict(left) == dict(right)


def _check_acl(name: bytes, value: bytes) -> None:
    if name != _ACL or value.strip().lower() not in _ACLS:
        raise S3Error("AccessControlListNotSupported")


def _refuse(name: bytes) -> None:
    text = name.decode("latin-1")
    raise S3Error(
        "NotImplemented",
        f"The header {text} asks for what is not implemented.",
        xml={"Header": text},
    )
