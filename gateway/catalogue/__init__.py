"""All SQL, and nothing else: which blobs make which version of which object, and who may ask."""

from __future__ import annotations

from gateway.catalogue.accounts import Accounts, Taken
from gateway.catalogue.blobs import Blobs, Lease, Reading
from gateway.catalogue.buckets import Buckets
from gateway.catalogue.catalogue import Catalogue, open_catalogue
from gateway.catalogue.faults import CatalogueDamaged, CatalogueFault, CatalogueForgot
from gateway.catalogue.listing import Listing
from gateway.catalogue.references import BlobDoomed
from gateway.catalogue.starts import Slots, slots_memory
from gateway.catalogue.upload_pages import UploadsPage
from gateway.catalogue.uploads import Uploads
from gateway.catalogue.versions import Check, VersionGone, Versions

__all__ = [
    "open_catalogue",
    "Catalogue",
    "CatalogueFault",
    "CatalogueForgot",
    "CatalogueDamaged",
    "Taken",
    "BlobDoomed",
    "VersionGone",
    "Accounts",
    "Buckets",
    "Versions",
    "Check",
    "Listing",
    "Uploads",
    "UploadsPage",
    "Blobs",
    "Lease",
    "Reading",
    "Slots",
    "slots_memory",
]
