"""A feed of runs in Atom (RFC 4287)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

_ATOM = "http://www.w3.org/2005/Atom"
_EPOCH = "1970-01-01T00:00:00Z"
# XML 1.0 has no place for these, not even escaped; a scenario's text may hold them.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run. updated: RFC 3339, may be empty; page: address of its report below the site."""

    id: str
    digest: str
    title: str
    updated: str
    summary: str
    page: str


def feed(title: str, entries: Sequence[Entry], address: str = "") -> bytes:
    """The feed as XML; entries in the order given. Links are relative without an `address` of the site.

    An entry's id is made of its run's, so it stays the same wherever the site lies.
    """
    base = f"{address.rstrip('/')}/" if address else ""
    ET.register_namespace("", _ATOM)
    root = ET.Element(f"{{{_ATOM}}}feed")
    _text(root, "title", title)
    _text(root, "id", base or uuid.uuid5(uuid.NAMESPACE_OID, title).urn)
    _text(root, "updated", max([entry.updated for entry in entries if entry.updated], default=_EPOCH))
    _text(ET.SubElement(root, f"{{{_ATOM}}}author"), "name", "bmtlib")
    ET.SubElement(root, f"{{{_ATOM}}}link", rel="self", type="application/atom+xml", href=f"{base}feed.xml")
    ET.SubElement(root, f"{{{_ATOM}}}link", rel="alternate", type="text/html", href=base or "index.html")
    for entry in entries:
        item = ET.SubElement(root, f"{{{_ATOM}}}entry")
        _text(item, "title", entry.title)
        _text(item, "id", uuid.uuid5(uuid.NAMESPACE_OID, f"{entry.id} {entry.digest}").urn)
        _text(item, "updated", entry.updated or _EPOCH)
        _text(item, "summary", entry.summary)
        ET.SubElement(item, f"{{{_ATOM}}}link", rel="alternate", type="text/html", href=f"{base}{entry.page}")
    ET.indent(root, " ")
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _text(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, f"{{{_ATOM}}}{name}").text = _NOT_XML.sub("\ufffd", text)
