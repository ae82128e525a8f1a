"""Settings are declared, read with their line numbers, and refused where they are not understood."""

from __future__ import annotations

from gateway.settings.declare import REQUIRED, Secret, Setting
from gateway.settings.document import Document, Entry, Section, read_document
from gateway.settings.faults import ConfigurationFault, ConfigurationFaults, Unanswered, nearest
from gateway.settings.private import Private
from gateway.settings.section import meant_key, read_section
from gateway.settings.values import Values

__all__ = [
    "REQUIRED",
    "ConfigurationFault",
    "ConfigurationFaults",
    "Document",
    "Entry",
    "Private",
    "Secret",
    "Section",
    "Setting",
    "Unanswered",
    "Values",
    "meant_key",
    "nearest",
    "read_document",
    "read_section",
]
