"""Dates as they travel: HTTP dates, ISO 8601, and the basic form that signatures use.

Times are milliseconds since the epoch, UTC. S3 shows whole seconds everywhere, in headers and in
lists, so that the two can be compared; formatting rounds down. Parsing returns None for what is not
a date: RFC 9110 wants a bad date in a condition ignored, signatures want it refused, and the caller
knows which.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

# RFC 9110 section 5.6.7: IMF-fixdate, and the two forms that only have to be understood.
_IMF = re.compile(
    r"(?:[A-Za-z]{3}, ?)?(\d{1,2}) ([A-Za-z]{3}) (\d{4}) (\d\d):(\d\d):(\d\d)"
    r"(?: (?:GMT|UTC|[+-]0000))?",
    re.ASCII,
)
_RFC_850 = re.compile(
    r"[A-Za-z]{6,9}, (\d\d)-([A-Za-z]{3})-(\d\d) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)
_ASCTIME = re.compile(r"[A-Za-z]{3} ([A-Za-z]{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})", re.ASCII)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:?00)", re.ASCII
)
_AMZ = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z", re.ASCII)


def format_http_date(time_ms: int) -> str:
    """Return the IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    moment = _moment(time_ms)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} "
        f"{moment.year:04} {moment.hour:02}:{moment.minute:02}:{moment.second:02} GMT"
    )


def format_iso8601(time_ms: int) -> str:
    """Return `1994-11-06T08:49:37.000Z`, as S3 shows times in XML: whole seconds."""
    moment = _moment(time_ms)
    return (
        f"{moment.year:04}-{moment.month:02}-{moment.day:02}T"
        f"{moment.hour:02}:{moment.minute:02}:{moment.second:02}.000Z"
    )


def format_amz_date(time_ms: int) -> str:
    """Return `19941106T084937Z`, the form of X-Amz-Date."""
    moment = _moment(time_ms)
    return (
        f"{moment.year:04}{moment.month:02}{moment.day:02}T"
        f"{moment.hour:02}{moment.minute:02}{moment.second:02}Z"
    )


def parse_http_date(value: str | bytes) -> int | None:
    """Return the time that any of the three HTTP forms names, or None.

    A zone other than GMT is not understood. The two-digit year of RFC 850 is read as 1970 to 2069.
    """
    text = _text(value)
    if match := _IMF.fullmatch(text):
        day, month, year, hour, minute, second = match.groups()
    elif match := _RFC_850.fullmatch(text):
        day, month, year, hour, minute, second = match.groups()
        year = ("19" if year >= "70" else "20") + year
    elif match := _ASCTIME.fullmatch(text):
        month, day, hour, minute, second, year = match.groups()
    else:
        return None
    month_number = _MONTH_NUMBERS.get(month.lower())
    if month_number is None:
        return None
    return _time_ms(int(year), month_number, int(day), int(hour), int(minute), int(second))


def parse_iso8601(value: str | bytes) -> int | None:
    """Return the time of `1994-11-06T08:49:37[.fff]Z`, or None; past milliseconds it is cut."""
    match = _ISO.fullmatch(_text(value))
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    base = _time_ms(year, month, day, hour, minute, second)
    return None if base is None else base + int(((match[7] or "") + "000")[:3])


def parse_amz_date(value: str | bytes) -> int | None:
    """Return the time of `19941106T084937Z`, or None."""
    match = _AMZ.fullmatch(_text(value))
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    return _time_ms(year, month, day, hour, minute, second)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1").strip(" \t") if isinstance(value, bytes) else value.strip(" \t")


def _moment(time_ms: int) -> datetime:
    return _EPOCH + timedelta(seconds=time_ms // 1000)


def _time_ms(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    try:
        # A leap second is shown as :60; it is the last one of its minute here.
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    return None if second > 60 else (moment - _EPOCH) // _SECOND * 1000
