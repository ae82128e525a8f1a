"""The small documents that services answer with, read with suspicion: no DTD, no entities, no surprises."""

from __future__ import annotations

import json
from typing import Any, NoReturn
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from gateway.errors import BackendDown


class _Suspicious(ElementTree.TreeBuilder):
    def doctype(self, *_details: object) -> NoReturn:
        raise BackendDown("the service answered with an XML document that has a DOCTYPE")


def read_xml(content: bytes) -> Element:
    """The root element; namespaces are dropped from all tags. Raises BackendDown for whatever is not XML."""
    parser = ElementTree.XMLParser(target=_Suspicious())
    try:
        parser.feed(content)
        root = parser.close()
    except (ElementTree.ParseError, ValueError, LookupError) as fault:
        raise BackendDown(f"the service answered with something that is not XML: {fault}") from fault
    assert isinstance(root, Element)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def read_json(content: bytes) -> Any:
    """The document's value. Raises BackendDown for whatever is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as fault:
        raise BackendDown(f"the service answered with something that is not JSON: {fault}") from fault
