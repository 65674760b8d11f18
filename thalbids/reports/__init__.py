"""Pages for people: the report of a participant."""

from thalbids.reports.participant import Failure, MaskView, SessionReport, write_report

__all__ = ["Failure", "MaskView", "SessionReport", "write_report"]
