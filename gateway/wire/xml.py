"""XML: a writer for answers, a bounded parser for requests.

The writer escapes so that any key survives: `&`, `<`, `>`, `"` as entities, and control characters
(which XML 1.0 cannot say, and S3 keys may contain) as `&#x1;`, the way S3 does. The parser takes
documents from strangers: no DTD, no entities, bounded depth and number of elements; the caller
bounds the bytes. Namespaces are dropped, since clients send documents with and without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from gateway.errors import Invalid, Reason

S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

_SPECIAL = re.compile('[&<>"\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufffe\\uffff]')
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_DEPTH_MAX = 16
_ELEMENTS_MAX = 200_000  # Complete of 10,000 parts has 70,000


def escape(text: str) -> str:
    """Return text for use in an element or a quoted attribute."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(_escape_one, text)


def _escape_one(match: re.Match[str]) -> str:
    character = match[0]
    return _ENTITIES.get(character) or f"&#x{ord(character):x};"


class Writer:
    """Builds one document; elements are written in the order of the calls."""

    __slots__ = ("_parts", "_root")

    def __init__(self, root: str, namespace: str | None = S3_NAMESPACE) -> None:
        """Begin a document; errors have no namespace, results have S3's."""
        self._root = root
        xmlns = "" if namespace is None else f' xmlns="{escape(namespace)}"'
        self._parts = [DECLARATION, f"<{root}{xmlns}>"]

    def text(self, name: str, value: str | int) -> None:
        """Write `<name>value</name>`, the value escaped."""
        content = escape(value) if isinstance(value, str) else str(value)
        self._parts.append(f"<{name}>{content}</{name}>")

    def flag(self, name: str, value: bool) -> None:
        """Write `<name>true</name>` or false."""
        self._parts.append(f"<{name}>{'true' if value else 'false'}</{name}>")

    @contextmanager
    def element(self, name: str, attributes: str = "") -> Iterator[None]:
        """Write what is written inside within `<name>`; `attributes` stand as they are."""
        self._parts.append(f"<{name} {attributes}>" if attributes else f"<{name}>")
        yield
        self._parts.append(f"</{name}>")

    def begin(self, name: str) -> None:
        """Open an element; `end` closes it. For loops where `element` would cost too much."""
        self._parts.append(f"<{name}>")

    def end(self, name: str) -> None:
        """Close the element that `begin` opened."""
        self._parts.append(f"</{name}>")

    def render(self) -> bytes:
        """Return the document in UTF-8."""
        return f"{''.join(self._parts)}</{self._root}>".encode()


class Element:
    """An element of a parsed document: local name, text, children in order."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""  # before the first child, exactly as sent
        self.children: list[Element] = []

    def find(self, name: str) -> Element | None:
        """Return the first child of that name, or None."""
        for child in self.children:
            if child.name == name:
                return child
        return None

    def find_all(self, name: str) -> list[Element]:
        """Return the children of that name."""
        return [child for child in self.children if child.name == name]

    def value(self, name: str) -> str | None:
        """Return the text of the first child of that name, or None when there is none."""
        child = self.find(name)
        return None if child is None else child.text


class _Builder:
    """Receives the parser's events; refuses documents that are too deep or too many."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._stack: list[Element] = []
        self._text: list[str] = []
        self._count = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        del attributes
        self._take_text()
        self._count += 1
        if len(self._stack) >= _DEPTH_MAX or self._count > _ELEMENTS_MAX:
            raise malformed_xml("too many elements, or too deep")
        element = Element(tag.rpartition("}")[2])
        if self._stack:
            self._stack[-1].children.append(element)
        else:
            self.root = element
        self._stack.append(element)

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, tag: str) -> None:
        del tag
        self._take_text()
        self._stack.pop()

    def close(self) -> Element | None:
        return self.root

    def _take_text(self) -> None:
        if self._text:
            if self._stack and not self._stack[-1].children:
                self._stack[-1].text = "".join(self._text)
            self._text.clear()


def parse(data: bytes, root: str | None = None) -> Element:
    """Parse a document; `root`, when given, is the name its root must have.

    Raises:
        Invalid(BAD_ARGUMENT): not well-formed, or of another root (MalformedXML).
    """
    builder = _Builder()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    try:
        parser.feed(data)
        parser.close()
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise malformed_xml(str(error)) from None
    element = builder.root
    if element is None or (root is not None and element.name != root):
        raise malformed_xml(f"the root element is not {root}")
    return element


def malformed_xml(detail: str = "") -> Invalid:
    """Return the error for a document that cannot be used (MalformedXML)."""
    return Invalid(
        Reason.BAD_ARGUMENT,
        "The XML you provided was not well-formed or did not validate against our published "
        "schema.",
        detail,
        s3_code="MalformedXML",
    )
