"""SAMSEG on the T1w of all visits of a person together: one atlas deformation that the visits share."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from thalbids.errors import some
from thalbids.methods.base import VISITS, LabelMap, Request
from thalbids.methods.programmed import threads
from thalbids.methods.whole_brain.samseg import Samsegs, labelled
from thalbids.programs import SamsegSettings

if TYPE_CHECKING:
    import nibabel as nib
    import numpy as np


class SamsegLong(Samsegs):
    """See :class:`thalbids.methods.base.Method`."""

    family, shown, reads = "samsegLong", "SAMSEG longitudinal", "sessions"
    colour, marker = "#F2B04E", "X"
    program = "run_samseg_long"
    only_by_name = "SAMSEG on all visits takes 20 min and 1.5 GB each and runs only when --methods names it."
    memory_gb = 10.5  # with 1.5 for each further visit: 11.7 measured with two (docs/tools.md)
    version = 2
    sentence = (
        "The T1w images of all visits of a person were brought by rigid registration into the space between them and "
        "segmented together with longitudinal SAMSEG [@puonti2016samseg]; its thalamus labels were taken."
    )

    def memory_each(self, settings: object) -> float:
        """GB that SAMSEG keeps of every further visit."""
        return 1.5

    def builds_on(self, settings: object) -> tuple[str, ...]:
        return ("brain",)

    def session_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools.whole_brain import samseg

        first = next(iter(requests.values()))
        matrices, odd = between(requests)
        images = {visit: {"T1w": requests[visit].image} for visit in matrices}
        work = first.workdir / "samseg"
        results, failed = samseg.segment_long(
            images, matrices, work, first.settings.of(SamsegSettings), threads=threads()
        )
        common = dict(first.params) | {VISITS: list(matrices)}
        told = {visit: common | {"BetweenVisitsToVisit": matrices[visit].tolist()} for visit in results}
        return {visit: labelled(one, requests[visit], told[visit]) for visit, one in results.items()}, odd | failed


def between(requests: Mapping[str, Request]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The space between the visits, by rigid registration of the brains, both ways.

    Visits that do not show the brain of the others are left out: those in most of the pairs that differ, again and
    again until no pair does.

    Returns
    -------
    (4, 4) RAS+ mm of the space to that of each visit, and per visit that was left out the reason.

    Raises
    ------
    ImageError
        No two visits remain.
    """
    from thalbids.errors import ImageError
    from thalbids.longitudinal.space import mean_space
    from thalbids.methods.given import MIN_CORRELATION

    brains = {visit: _brain(request) for visit, request in requests.items()}
    pairs: dict[tuple[str, str], np.ndarray] = {}
    different: dict[tuple[str, str], float] = {}
    for one, other in itertools.combinations(requests, 2):
        pairs[one, other] = _registered(brains[one], brains[other], requests[one].settings.run.seed)
        alike = _alike(brains[one], brains[other], pairs[one, other])
        if not alike >= MIN_CORRELATION:
            different[one, other] = alike
    odd = _odd(different)
    visits = [visit for visit in requests if visit not in odd]
    if len(visits) < 2:
        told = ", ".join(f"{one} and {other}: {alike:.2f}" for (one, other), alike in different.items())
        problem = f"the visits do not show the same brain after registration (correlation {told})."
        raise ImageError(problem, "Look at the T1w images of all visits; leave one out with --bids-filter-file.")
    places = {(i, j): pairs[visits[i], visits[j]] for i, j in itertools.combinations(range(len(visits)), 2)}
    return dict(zip(visits, mean_space(places, len(visits)), strict=True)), odd


def _odd(different: Mapping[tuple[str, str], float]) -> dict[str, str]:
    """The visits to leave out so that no pair of the others is among these, and why."""
    left = dict(different)
    odd: dict[str, str] = {}
    while left:
        counts = Counter(itertools.chain.from_iterable(left))
        worst = [visit for visit, count in counts.items() if count == max(counts.values())]
        for visit in worst:
            pairs = {pair: alike for pair, alike in different.items() if visit in pair}
            named = some([other for pair in pairs for other in pair if other != visit])
            best = max(pairs.values())
            odd[visit] = f"its brain is not that of {named} (correlation {best:.2f} at best): the same person?"
        left = {pair: alike for pair, alike in left.items() if not set(pair) & set(worst)}
    return odd


def _registered(fixed: nib.Nifti1Image, moving: nib.Nifti1Image, seed: int) -> np.ndarray:
    """(4, 4) RAS+ mm of the first brain to that of the second; the inverse when they are swapped.

    Brains without skull have one centre of mass: from there it works for scans without common coordinates too.
    """
    from thalbids.longitudinal.space import between as middle
    from thalbids.registration.ants_rigid import AntsRigid

    ants = AntsRigid(start="centre")
    return middle(ants.estimate(fixed, moving, None, seed), ants.estimate(moving, fixed, None, seed))


def _brain(request: Request) -> nib.Nifti1Image:
    import nibabel as nib
    import numpy as np

    from thalbids.image.io import load_labels

    brain = np.asarray(load_labels(request.brain).dataobj) > 0
    return nib.Nifti1Image(
        np.where(brain, np.asarray(request.image.dataobj), 0).astype(np.float32), request.image.affine
    )


def _alike(fixed: nib.Nifti1Image, moving: nib.Nifti1Image, matrix: np.ndarray) -> float:
    """Correlation of two brains that were brought together."""
    import numpy as np

    from thalbids.image.grids import resample_to
    from thalbids.image.similarity import correlation

    moved = np.asarray(resample_to(moving, fixed, order=1, matrix=matrix).dataobj)
    reference = np.asarray(fixed.dataobj)
    return correlation(reference, moved, (reference > 0) & (moved > 0))
