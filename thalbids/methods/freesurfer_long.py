"""FreeSurfer's longitudinal stream: results that exist (``sub-X_ses-Y.long.BASE`` in the subjects directory)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from thalbids.errors import ThalbidsError
from thalbids.methods.freesurfer import STATS, FreeSurferResults
from thalbids.programs import FreeSurferSettings
from thalbids.settings import MethodSettings
from thalbids.types import Session

if TYPE_CHECKING:
    from thalbids.tools.findings import Finding


class FreeSurferLong(FreeSurferResults):
    """See :class:`thalbids.methods.base.Method`. A method of its own: every visit was begun from the person's base."""

    family = "freesurferLong"
    shown = "FreeSurfer longitudinal"
    colour, dash, marker = "#E0607E", "1.5 2.5 5 2.5", "D"
    icv = "Estimated total intracranial volume (eTIV) of FreeSurfer's longitudinal aseg.stats"
    sentence = (
        "The thalamus labels of the aseg of FreeSurfer's longitudinal stream [@reuter2012longitudinal] were brought "
        "from the space of each person's base to the T1w grid by nearest neighbour."
    )
    citations = ("reuter2012longitudinal",)

    def blocked(self, settings: MethodSettings) -> str | None:
        return "it is read where --fs-subjects-dir holds results of the longitudinal stream, and not run."

    def pieces(self, settings: MethodSettings) -> list[Finding]:
        """What ``thalbids doctor`` tells of it."""
        from thalbids.tools.findings import Finding

        there = self.results_given(settings)
        return [
            Finding(
                self.shown,
                "longitudinal results",
                there,
                where=str(settings.of(FreeSurferSettings).subjects_dir) if there else "",
                problem="" if there else "none are given.",
                enables="masks of FreeSurfer's longitudinal stream, read from results that you have",
                mend="Give the subjects directory with sub-X_ses-Y.long.BASE and its BASE: --fs-subjects-dir DIR",
            )
        ]

    def results_given(self, settings: MethodSettings) -> bool:
        """Whether the folder of existing results holds one of the longitudinal stream."""
        place = settings.of(FreeSurferSettings).subjects_dir
        return place is not None and place.is_dir() and any(place.glob("sub-*.long.*"))

    def results_root(self, settings: MethodSettings) -> Path | None:
        """The folder of existing results, where it holds one of the longitudinal stream."""
        return settings.of(FreeSurferSettings).subjects_dir if self.results_given(settings) else None

    def results(self, settings: MethodSettings, session: Session, *, alone: bool) -> Path | None:
        """The folder of a session's longitudinal results; raises ToolError when it cannot be used."""
        from thalbids.tools import freesurfer

        place = settings.of(FreeSurferSettings).subjects_dir
        return None if place is None else freesurfer.find_long(place, session.subject, session.session)

    def icv_file(
        self, settings: MethodSettings, session: Session, *, alone: bool, given: Path | None = None
    ) -> Path | None:
        """``aseg.stats`` of a session's longitudinal results."""
        with suppress(ThalbidsError):  # it is being written, or ended with an error
            folder = self.results(settings, session, alone=alone)
            if folder is not None and (folder / "stats" / STATS).is_file():
                return folder / "stats" / STATS
        return None
