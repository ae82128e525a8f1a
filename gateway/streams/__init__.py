"""Bytes on their way: in from a client and proved, out from blobs and checked."""

from gateway.streams.cut import Cut
from gateway.streams.digest import Measured, Tally
from gateway.streams.intake import Intake, read_all
from gateway.streams.outflow import Outflow

__all__ = ["Cut", "Intake", "Measured", "Outflow", "Tally", "read_all"]
