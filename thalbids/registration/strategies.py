"""What a registration strategy is, and the register of those that exist."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import nibabel as nib
import numpy as np

from thalbids.errors import UsageError
from thalbids.programs import FslSettings, Program
from thalbids.settings import Registration, Settings

INTERPOLATION_ORDER = {"linear": 1, "spline": 3}


class Strategy(Protocol):
    """One way to estimate the transform from the fixed (T1w) to the moving image.

    Attributes
    ----------
    name : as in the settings and the QC file
    group : strategies of one group compete with each other, the first group with a passing one wins (paper, 2.5.2: the
    two FSL
        strategies before ANTs)
    interpolation : ``linear`` or ``spline``, for the one resampling onto the T1w grid
    cutoff : smallest mutual information (nats, :func:`thalbids.image.similarity.mutual_information`) that passes
    software : name and version of the program, for the sidecar
    """

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def interpolation(self) -> str: ...
    @property
    def cutoff(self) -> float: ...
    @property
    def software(self) -> str: ...

    def estimate(
        self, fixed: nib.Nifti1Image, moving: nib.Nifti1Image, mask: nib.Nifti1Image | None, seed: int
    ) -> np.ndarray:
        """(4, 4) matrix from RAS+ mm of ``fixed`` to RAS+ mm of ``moving``.

        ``mask`` is the brain on the fixed grid, for strategies that weight by it. The result depends on nothing but
        the arguments: not on the number of threads, the machine's load or what ran before. Raises
        :class:`thalbids.errors.RegistrationError`.
        """
        ...


PAPER_CUTOFFS = {  # 2.5.2
    "fsl-mi": 0.25,
    "fsl-nc": 0.25,
    "fsl-flair": 0.25,
    "ants": 0.30,
    "ants-centre": 0.30,
    "ants-default": 0.30,
    "mattes": 0.30,  # not the paper's: in the place of ANTs
    "mattes-centre": 0.30,
}
AUTO = "auto"


def configured(
    names: Sequence[str],
    cutoffs: Mapping[str, float] | None = None,
    rule: str = "measured",
    program: Program | None = None,
) -> tuple[Strategy, ...]:
    """The strategies of these names, in this order, with cut-offs of the settings in place of their own.

    ``rule`` is ``measured`` (each strategy's own cut-off) or ``paper`` (those of the paper); ``program`` says how FSL
    is run. Raises :class:`~thalbids.errors.UsageError` for an unknown or repeated name, a cut-off of a strategy that
    is not used, and a cut-off that is not a number >= 0.
    """
    makers, cutoffs = _makers(program), dict(cutoffs or {})
    known = ", ".join(makers)
    if not names:
        raise UsageError("No registration strategy is given.", f"Known: {known}.")
    for name in (*names, *cutoffs):
        if name not in makers:
            raise UsageError(f"Unknown registration strategy {name!r}.", f"Known: {known}.")
    if len(set(names)) != len(names):
        raise UsageError("A registration strategy is given twice.", "Name each once.")
    for name, cutoff in cutoffs.items():
        if name not in names:
            raise UsageError(f"A cut-off is given for {name!r}, which is not among the strategies.", "Remove it.")
        if not (isinstance(cutoff, int | float) and math.isfinite(cutoff) and cutoff >= 0):
            raise UsageError(f"The cut-off of {name!r} is not a number of at least 0: {cutoff!r}.", "Give one.")
    chosen = {**(PAPER_CUTOFFS if rule == "paper" else {}), **cutoffs}
    strategies = [makers[name]() for name in names]
    return tuple(
        replace(strategy, cutoff=float(chosen[strategy.name])) if strategy.name in chosen else strategy  # type: ignore[type-var]
        for strategy in strategies
    )


def resolved(names: Sequence[str], image: str, program: Program | None = None) -> tuple[str, ...]:
    """The names for one image (``R1map``, ``FLAIR``, ``T2w``), with ``auto`` replaced by what is here.

    ``auto`` is the paper's list (2.5.2) where FSL's FLIRT is installed: R1 by ``fsl-mi`` and ``fsl-nc``, then
    ``ants``; other images by ``fsl-flair``, then ``ants``. Without FLIRT it is ``mattes`` alone.

    Raises
    ------
    UsageError
        ``auto`` stands beside other names.
    MissingToolError
        A strategy that is named needs a program that is not here.
    """
    from thalbids.tools import fsl

    if AUTO in names:
        if len(names) > 1:
            raise UsageError("The registration strategy auto stands beside others.", "Give auto alone, or name them.")
        if fsl.missing("flirt", program or Program()) is not None:
            return ("mattes",)
        return ("fsl-mi", "fsl-nc", "ants") if image == "R1map" else ("fsl-flair", "ants")
    if any(name.startswith("fsl-") for name in names):
        fsl.required("flirt", program or Program())
    return tuple(names)


def configured_for(image: str, settings: Settings) -> tuple[Strategy, ...]:
    """The strategies for one image by the settings; cut-offs of strategies that serve other images are left out.

    Raises
    ------
    UsageError, MissingToolError
        See :func:`configured` and :func:`resolved`.
    """
    wanted, program = settings.registration, settings.of(FslSettings)
    names = resolved(asked_for(image, wanted), image, program)
    makers = _makers()
    for name in wanted.cutoffs:
        if name not in makers:
            raise UsageError(f"Unknown registration strategy {name!r}.", f"Known: {', '.join(makers)}.")
    cutoffs = {name: value for name, value in wanted.cutoffs.items() if name in names}
    return configured(names, cutoffs, wanted.rule, program)


def asked_for(image: str, settings: Registration) -> tuple[str, ...]:
    """The names that the settings give for one image."""
    return settings.r1map_strategies if image == "R1map" else settings.flair_strategies


def note_on(image: str, settings: Settings) -> str:
    """What ``auto`` became, in words for people; empty when the strategies were named."""
    names = asked_for(image, settings.registration)
    if names != (AUTO,):
        return ""
    got = resolved(names, image, settings.of(FslSettings))
    if got == ("mattes",):
        return "registered by thalbids (mattes): FSL's FLIRT, the paper's first choice, is not installed"
    return f"registered by FSL's FLIRT ({', '.join(got[:-1])}), or by ANTs where that fails"


def _makers(program: Program | None = None) -> dict[str, Callable[[], Strategy]]:
    """A new strategy is one file and one line here."""
    from thalbids.registration.ants_rigid import AntsRigid
    from thalbids.registration.flirt import RIGID, RIGID_IN_MASK, RIGID_THEN_AFFINE, Flirt
    from thalbids.registration.mattes import MattesRigid

    fsl = program or Program()
    return {
        "ants": AntsRigid,
        "ants-centre": lambda: AntsRigid(name="ants-centre", group="ants-centre", start="centre"),
        "ants-default": lambda: AntsRigid(name="ants-default", levels="default", cutoff=PAPER_CUTOFFS["ants-default"]),
        "mattes": MattesRigid,
        "mattes-centre": lambda: MattesRigid(name="mattes-centre", group="mattes-centre", start="centre"),
        "fsl-mi": lambda: Flirt("fsl-mi", RIGID_THEN_AFFINE, "spline", program=fsl),
        "fsl-nc": lambda: Flirt("fsl-nc", RIGID_IN_MASK, "spline", program=fsl),
        "fsl-flair": lambda: Flirt("fsl-flair", RIGID, "linear", program=fsl),
    }
