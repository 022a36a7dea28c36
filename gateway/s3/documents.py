"""The XML documents of S3's answers, and of the requests that carry one.

Element names and their order are AWS's: some clients decode strictly by the root's name. Keys are
bytes that are UTF-8; with `encoding-type=url` they are percent-encoded (slash kept, space as %20),
otherwise escaped. Results are in S3's namespace. Entries of long lists are written as strings, for
a page of a thousand is the slowest document there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.limits import DELETE_KEYS_MAX, PART_NUMBER_MAX
from gateway.s3.errors import S3Error
from gateway.versions.model import (
    BucketInfo,
    ChecksumValue,
    CompletedPart,
    Listing,
    ObjectRecord,
    PartInfo,
    PartListing,
    UploadListing,
)
from gateway.wire.checksums import ALGORITHMS, decode_object_value, encode_value
from gateway.wire.conditions import parse_etag
from gateway.wire.dates import format_iso8601
from gateway.wire.target import percent_encode
from gateway.wire.xml import DECLARATION, S3_NAMESPACE, Writer, escape, malformed_xml, parse

OWNER_ID: Final = "0" * 64
OWNER_NAME: Final = "sidegate"
_OWNER: Final = f"<ID>{OWNER_ID}</ID><DisplayName>{OWNER_NAME}</DisplayName>"
_XSI: Final = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"'


def _root(name: str) -> str:
    return f'{DECLARATION}<{name} xmlns="{S3_NAMESPACE}">'


def key_text(key: bytes, encode: bool) -> str:
    """Return a key, prefix, delimiter or marker as it stands in a document."""
    if encode:
        return percent_encode(key, keep_slash=True).decode("ascii")
    return escape(key.decode("utf-8", "replace"))


def checksum_text(checksum: ChecksumValue, parts: int) -> str:
    """Return a checksum as headers and elements show it: `-N` after a composite one."""
    text = encode_value(checksum.value)
    return f"{text}-{parts}" if checksum.kind == "COMPOSITE" else text


# --- buckets -----------------------------------------------------------------------------------


def list_buckets(buckets: Iterable[BucketInfo], prefix: str | None, token: str) -> bytes:
    """Render ListAllMyBucketsResult; an empty token is left out."""
    out = [_root("ListAllMyBucketsResult"), "<Owner>", _OWNER, "</Owner><Buckets>"]
    out += [
        f"<Bucket><Name>{escape(bucket.name)}</Name>"
        f"<CreationDate>{format_iso8601(bucket.created_ms)}</CreationDate></Bucket>"
        for bucket in buckets
    ]
    out.append("</Buckets>")
    if token:
        out.append(f"<ContinuationToken>{token}</ContinuationToken>")
    if prefix is not None:
        out.append(f"<Prefix>{escape(prefix)}</Prefix>")
    out.append("</ListAllMyBucketsResult>")
    return "".join(out).encode()


def location(region: str) -> bytes:
    """Render LocationConstraint; empty for the default region."""
    return f"{_root('LocationConstraint')}{escape(region)}</LocationConstraint>".encode()


def parse_create_bucket(data: bytes) -> str:
    """Return the LocationConstraint of a CreateBucketConfiguration; empty when there is none."""
    if not data.strip():
        return ""
    return (parse(data, "CreateBucketConfiguration").value("LocationConstraint") or "").strip()


def empty(root: str, inside: str = "") -> bytes:
    """Render a configuration that says nothing, or what `inside` (XML) says."""
    return f"{_root(root)}{inside}</{root}>".encode()


def acl() -> bytes:
    """Render the access list of everything here: the owner may do all."""
    return (
        f"{_root('AccessControlPolicy')}<Owner>{_OWNER}</Owner><AccessControlList><Grant>"
        f"<Grantee {_XSI}>{_OWNER}</Grantee><Permission>FULL_CONTROL</Permission>"
        "</Grant></AccessControlList></AccessControlPolicy>"
    ).encode()


# --- listings ----------------------------------------------------------------------------------


class ListQuery(NamedTuple):
    """What a listing was asked for, to be echoed. None of `token` means it was not given."""

    bucket: str
    prefix: bytes
    delimiter: bytes
    max_keys: int
    encode: bool
    marker: bytes = b""  # V1's marker, V2's start-after
    token: str | None = None
    owner: bool = False


def list_objects_v1(query: ListQuery, page: Listing) -> bytes:
    """Render ListBucketResult as ListObjects answers."""
    encode = query.encode
    out = [
        _root("ListBucketResult"),
        (
            f"<Name>{escape(query.bucket)}</Name><Prefix>{key_text(query.prefix, encode)}</Prefix>"
            f"<Marker>{key_text(query.marker, encode)}</Marker>"
        ),
    ]
    if page.truncated:
        out.append(f"<NextMarker>{key_text(page.next, encode)}</NextMarker>")
    _list_echo(out, query, page)
    _list_entries(out, page, encode, owner=True)
    out.append("</ListBucketResult>")
    return "".join(out).encode()


def list_objects_v2(query: ListQuery, page: Listing, next_token: str) -> bytes:
    """Render ListBucketResult as ListObjectsV2 answers."""
    encode = query.encode
    out = [
        _root("ListBucketResult"),
        f"<Name>{escape(query.bucket)}</Name><Prefix>{key_text(query.prefix, encode)}</Prefix>",
    ]
    if query.marker:
        out.append(f"<StartAfter>{key_text(query.marker, encode)}</StartAfter>")
    if query.token is not None:
        out.append(f"<ContinuationToken>{escape(query.token)}</ContinuationToken>")
    if page.truncated:
        out.append(f"<NextContinuationToken>{next_token}</NextContinuationToken>")
    out.append(f"<KeyCount>{len(page.entries) + len(page.prefixes)}</KeyCount>")
    _list_echo(out, query, page)
    _list_entries(out, page, encode, owner=query.owner)
    out.append("</ListBucketResult>")
    return "".join(out).encode()


def list_versions(query: ListQuery, page: Listing) -> bytes:
    """Render ListVersionsResult of a bucket without versioning: each object is its `null`."""
    encode = query.encode
    out = [
        _root("ListVersionsResult"),
        (
            f"<Name>{escape(query.bucket)}</Name><Prefix>{key_text(query.prefix, encode)}</Prefix>"
            f"<KeyMarker>{key_text(query.marker, encode)}</KeyMarker><VersionIdMarker/>"
        ),
    ]
    if page.truncated:
        out.append(
            f"<NextKeyMarker>{key_text(page.next, encode)}</NextKeyMarker>"
            "<NextVersionIdMarker>null</NextVersionIdMarker>"
        )
    _list_echo(out, query, page)
    for key, record in page.entries:
        out.append(
            f"<Version><Key>{key_text(key, encode)}</Key><VersionId>null</VersionId>"
            f"<IsLatest>true</IsLatest>{_entry(record)}<Owner>{_OWNER}</Owner></Version>"
        )
    _prefixes(out, page.prefixes, encode)
    out.append("</ListVersionsResult>")
    return "".join(out).encode()


def _list_echo(out: list[str], query: ListQuery, page: Listing) -> None:
    out.append(f"<MaxKeys>{query.max_keys}</MaxKeys>")
    if query.delimiter:
        out.append(f"<Delimiter>{key_text(query.delimiter, query.encode)}</Delimiter>")
    if query.encode:
        out.append("<EncodingType>url</EncodingType>")
    out.append(f"<IsTruncated>{'true' if page.truncated else 'false'}</IsTruncated>")


def _list_entries(out: list[str], page: Listing, encode: bool, *, owner: bool) -> None:
    end = f"<Owner>{_OWNER}</Owner></Contents>" if owner else "</Contents>"
    for key, record in page.entries:
        out.append(f"<Contents><Key>{key_text(key, encode)}</Key>{_entry(record)}{end}")
    _prefixes(out, page.prefixes, encode)


def _entry(record: ObjectRecord) -> str:
    checksums = "".join(
        f"<ChecksumAlgorithm>{c.algorithm}</ChecksumAlgorithm><ChecksumType>{c.kind}</ChecksumType>"
        for c in record.checksums
    )
    storage = record.headers.get("x-amz-storage-class", "STANDARD")
    return (
        f"<LastModified>{_shown_second(record.mtime_ms // 1000)}</LastModified>"
        f"<ETag>&quot;{record.etag()}&quot;</ETag>{checksums}<Size>{record.size}</Size>"
        f"<StorageClass>{escape(storage)}</StorageClass>"
    )


@lru_cache(maxsize=4096)
def _shown_second(second: int) -> str:
    return format_iso8601(second * 1000)  # the entries of a page were often written together


def _prefixes(out: list[str], prefixes: Iterable[bytes], encode: bool) -> None:
    out += [
        f"<CommonPrefixes><Prefix>{key_text(prefix, encode)}</Prefix></CommonPrefixes>"
        for prefix in prefixes
    ]


# --- objects -----------------------------------------------------------------------------------


def copy_result(record: ObjectRecord) -> bytes:
    """Render CopyObjectResult."""
    writer = Writer("CopyObjectResult")
    writer.text("LastModified", format_iso8601(record.mtime_ms))
    writer.text("ETag", f'"{record.etag()}"')
    _checksums(writer, record.checksums, record.parts)
    return writer.render()


class Deletion(NamedTuple):
    """One object of a DeleteObjects request."""

    key: bytes
    version: str | None
    etag: str | None  # without quotes; `*` is any


class DeleteRequest(NamedTuple):
    """What a DeleteObjects request asks for."""

    objects: list[Deletion]
    quiet: bool


def parse_delete(data: bytes) -> DeleteRequest:
    """Read a Delete document.

    Raises:
        Invalid(BAD_ARGUMENT): malformed, no object, or more than a thousand (MalformedXML).
    """
    root = parse(data, "Delete")
    objects: list[Deletion] = []
    for element in root.find_all("Object"):
        key = element.value("Key")
        if key is None:
            raise malformed_xml("an Object has no Key")
        etag = element.value("ETag")
        objects.append(
            Deletion(
                key.encode("utf-8", "surrogateescape"),
                element.value("VersionId"),
                None if etag is None else parse_etag(etag),
            )
        )
    if not 0 < len(objects) <= DELETE_KEYS_MAX:
        raise malformed_xml(f"{len(objects)} objects; 1 to {DELETE_KEYS_MAX} may be named")
    return DeleteRequest(objects, (root.value("Quiet") or "").strip().lower() == "true")


class Deleted(NamedTuple):
    """What became of one object; `code` is empty when it is gone."""

    key: bytes
    version: str | None
    code: str = ""
    message: str = ""


def delete_result(results: Iterable[Deleted], *, quiet: bool) -> bytes:
    """Render DeleteResult; with `quiet` only the errors."""
    out = [_root("DeleteResult")]
    for result in results:
        version = "" if not result.version else f"<VersionId>{escape(result.version)}</VersionId>"
        key = f"<Key>{key_text(result.key, encode=False)}</Key>{version}"
        if result.code:
            out.append(
                f"<Error>{key}<Code>{result.code}</Code>"
                f"<Message>{escape(result.message)}</Message></Error>"
            )
        elif not quiet:
            out.append(f"<Deleted>{key}</Deleted>")
    out.append("</DeleteResult>")
    return "".join(out).encode()


# --- multipart ---------------------------------------------------------------------------------


def initiate_result(bucket: str, key: bytes, upload_id: str) -> bytes:
    """Render InitiateMultipartUploadResult."""
    writer = Writer("InitiateMultipartUploadResult")
    writer.text("Bucket", bucket)
    writer.text("Key", key.decode())
    writer.text("UploadId", upload_id)
    return writer.render()


def complete_result(where: str, bucket: str, key: bytes, record: ObjectRecord) -> bytes:
    """Render CompleteMultipartUploadResult."""
    writer = Writer("CompleteMultipartUploadResult")
    writer.text("Location", where)
    writer.text("Bucket", bucket)
    writer.text("Key", key.decode())
    writer.text("ETag", f'"{record.etag()}"')
    _checksums(writer, record.checksums, record.parts)
    return writer.render()


def copy_part_result(part: PartInfo, algorithm: str) -> bytes:
    """Render CopyPartResult, with the checksum of that algorithm."""
    writer = Writer("CopyPartResult")
    writer.text("LastModified", format_iso8601(part.modified_ms))
    writer.text("ETag", f'"{part.etag}"')
    for checksum in part.checksums:
        if checksum.algorithm == algorithm:
            writer.text(f"Checksum{algorithm}", checksum_text(checksum, 0))
    return writer.render()


def parse_complete(data: bytes) -> list[CompletedPart]:
    """Read a CompleteMultipartUpload document, in the order in which it lists the parts.

    Checksums may have a `-N` after them, as one client sends; it says nothing of a part.

    Raises:
        Invalid(BAD_ARGUMENT): malformed, or no part (MalformedXML); a checksum of a wrong form.
        S3Error: InvalidArgument, a part number out of bounds.
    """
    parts: list[CompletedPart] = []
    for element in parse(data, "CompleteMultipartUpload").find_all("Part"):
        number = (element.value("PartNumber") or "").strip()
        etag = element.value("ETag")
        if not (number.isascii() and number.isdigit() and len(number) <= 10) or etag is None:
            raise malformed_xml("a Part needs a PartNumber and an ETag")
        if not 1 <= int(number) <= PART_NUMBER_MAX:
            raise _part_number(number)
        checksums: dict[str, bytes] = {}
        for algorithm in ALGORITHMS.values():
            value = element.value(algorithm.element)
            if value is not None:
                checksums[algorithm.name] = decode_object_value(algorithm, value)[0]
        parts.append(CompletedPart(int(number), parse_etag(etag), checksums))
    if not parts:
        raise malformed_xml("no Part is listed")
    return parts


def _part_number(number: str) -> S3Error:
    return S3Error(
        "InvalidArgument",
        f"Part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive",
        xml={"ArgumentName": "partNumber", "ArgumentValue": number},
    )


def list_parts(
    bucket: str, key: bytes, page: PartListing, marker: int, max_parts: int, *, encode: bool
) -> bytes:
    """Render ListPartsResult."""
    upload = page.upload
    out = [
        _root("ListPartsResult"),
        (
            f"<Bucket>{escape(bucket)}</Bucket><Key>{key_text(key, encode)}</Key>"
            f"<UploadId>{upload.id}</UploadId><Initiator>{_OWNER}</Initiator><Owner>{_OWNER}</Owner>"
            f"<StorageClass>{escape(upload.storage_class)}</StorageClass>"
            f"<PartNumberMarker>{marker}</PartNumberMarker>"
            f"<NextPartNumberMarker>{page.next}</NextPartNumberMarker>"
            f"<MaxParts>{max_parts}</MaxParts>"
            f"<IsTruncated>{'true' if page.truncated else 'false'}</IsTruncated>"
        ),
    ]
    if upload.checksum_algorithm:
        out.append(
            f"<ChecksumAlgorithm>{upload.checksum_algorithm}</ChecksumAlgorithm>"
            f"<ChecksumType>{upload.checksum_kind}</ChecksumType>"
        )
    for part in page.parts:
        checksums = "".join(
            f"<Checksum{c.algorithm}>{encode_value(c.value)}</Checksum{c.algorithm}>"
            for c in part.checksums
        )
        out.append(
            f"<Part><PartNumber>{part.number}</PartNumber>"
            f"<LastModified>{format_iso8601(part.modified_ms)}</LastModified>"
            f"<ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size}</Size>{checksums}</Part>"
        )
    out.append("</ListPartsResult>")
    return "".join(out).encode()


class UploadsQuery(NamedTuple):
    """What a listing of uploads was asked for, to be echoed."""

    bucket: str
    prefix: bytes
    delimiter: bytes
    max_uploads: int
    encode: bool
    key_marker: bytes
    id_marker: str


def list_uploads(query: UploadsQuery, page: UploadListing) -> bytes:
    """Render ListMultipartUploadsResult."""
    encode = query.encode
    out = [
        _root("ListMultipartUploadsResult"),
        (
            f"<Bucket>{escape(query.bucket)}</Bucket>"
            f"<KeyMarker>{key_text(query.key_marker, encode)}</KeyMarker>"
            f"<UploadIdMarker>{escape(query.id_marker)}</UploadIdMarker>"
        ),
    ]
    if page.truncated:
        out.append(
            f"<NextKeyMarker>{key_text(page.next_key, encode)}</NextKeyMarker>"
            f"<NextUploadIdMarker>{escape(page.next_id)}</NextUploadIdMarker>"
        )
    out.append(f"<Prefix>{key_text(query.prefix, encode)}</Prefix>")
    if query.delimiter:
        out.append(f"<Delimiter>{key_text(query.delimiter, encode)}</Delimiter>")
    if encode:
        out.append("<EncodingType>url</EncodingType>")
    out.append(
        f"<MaxUploads>{query.max_uploads}</MaxUploads>"
        f"<IsTruncated>{'true' if page.truncated else 'false'}</IsTruncated>"
    )
    for upload in page.uploads:
        checksum = (
            f"<ChecksumAlgorithm>{upload.checksum_algorithm}</ChecksumAlgorithm>"
            f"<ChecksumType>{upload.checksum_kind}</ChecksumType>"
            if upload.checksum_algorithm
            else ""
        )
        out.append(
            f"<Upload><Key>{key_text(upload.key, encode)}</Key><UploadId>{upload.id}</UploadId>"
            f"<Initiator>{_OWNER}</Initiator><Owner>{_OWNER}</Owner>"
            f"<StorageClass>{escape(upload.storage_class)}</StorageClass>"
            f"<Initiated>{format_iso8601(upload.initiated_ms)}</Initiated>{checksum}</Upload>"
        )
    _prefixes(out, page.prefixes, encode)
    out.append("</ListMultipartUploadsResult>")
    return "".join(out).encode()


def _checksums(writer: Writer, checksums: Sequence[ChecksumValue], parts: int) -> None:
    for checksum in checksums:
        writer.text(f"Checksum{checksum.algorithm}", checksum_text(checksum, parts))
    if checksums:
        writer.text("ChecksumType", checksums[0].kind)
