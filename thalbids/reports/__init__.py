"""Pages for people: the report of a participant."""

from thalbids.reports.participant.participant_page import Failure, MaskView, SessionReport, write_report

__all__ = ["Failure", "MaskView", "SessionReport", "write_report"]
