"""What a registration strategy is, and the register of those that exist."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import nibabel as nib
import numpy as np

from thalbids.errors import ThalbidsError, UsageError

INTERPOLATION_ORDER = {"linear": 1, "spline": 3}


class RegistrationError(ThalbidsError):
    """One strategy found no transform; the gate records it and goes on to the next."""


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
        :class:`RegistrationError`.
        """
        ...


def configured(names: Sequence[str], cutoffs: Mapping[str, float] | None = None) -> tuple[Strategy, ...]:
    """The strategies of these names, in this order, with cut-offs of the settings in place of their own.

    Raises :class:`~thalbids.errors.UsageError` for an unknown or repeated name, a cut-off of a strategy that is not
    used, and a cut-off that is not a number >= 0.
    """
    makers, cutoffs = _makers(), dict(cutoffs or {})
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
    made = [makers[name]() for name in names]
    return tuple(
        replace(strategy, cutoff=float(cutoffs[strategy.name])) if strategy.name in cutoffs else strategy  # type: ignore[type-var]
        for strategy in made
    )


def _makers() -> dict[str, Callable[[], Strategy]]:
    """A new strategy is one file and one line here."""
    from thalbids.registration.ants_rigid import AntsRigid

    return {
        "ants": AntsRigid,
        "ants-centre": lambda: AntsRigid(name="ants-centre", group="ants-centre", start="centre"),
    }
