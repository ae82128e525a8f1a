"""Bytes on their way: in from a client and proved, out from blobs and checked."""

from gateway.streams.cut import Cut
from gateway.streams.digest import Measured, Tally
from gateway.streams.intake import Intake, read_all
from gateway.streams.outflow import Outflow
from gateway.streams.small import SMALL, read_piece

__all__ = ["SMALL", "Cut", "Intake", "Measured", "Outflow", "Tally", "read_all", "read_piece"]
