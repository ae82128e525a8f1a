"""What ails an installation: each room of the gateway and of its machine is looked at, nothing is changed."""

from __future__ import annotations

from gateway.doctor.examination import examine
from gateway.doctor.finding import FAULT, FINE, WARNING, Finding, Patient

__all__ = ["FAULT", "FINE", "WARNING", "Finding", "Patient", "examine"]
