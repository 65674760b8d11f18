"""SAMSEG on the T1w of all visits of a person together: one atlas deformation that the visits share."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from thalbids.methods.base import LabelMap, Request
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
    only_by_name = "SAMSEG on all visits takes 10 to 15 min each and runs only when --methods names it."
    memory_gb = 8.0
    sentence = (
        "The T1w images of all visits of a person were brought by rigid registration into the space between them and "
        "segmented together with longitudinal SAMSEG [@puonti2016samseg]; its thalamus labels were taken."
    )

    def builds_on(self, settings: object) -> tuple[str, ...]:
        return ("brain",)

    def session_maps(self, requests: Mapping[str, Request]) -> tuple[Mapping[str, LabelMap], Mapping[str, str]]:
        from thalbids.tools.whole_brain import samseg

        first = next(iter(requests.values()))
        visits = list(requests)
        matrices = dict(zip(visits, between([requests[visit] for visit in visits]), strict=True))
        images = {visit: {"T1w": request.image} for visit, request in requests.items()}
        work = first.workdir / "samseg"
        results, failed = samseg.segment_long(
            images, matrices, work, first.settings.of(SamsegSettings), threads=threads()
        )
        metadata = dict(first.params)
        told = {
            visit: metadata | {"Visits": visits, "BetweenVisitsToVisit": matrices[visit].tolist()} for visit in results
        }
        return {visit: labelled(one, requests[visit], told[visit]) for visit, one in results.items()}, failed


def between(requests: Sequence[Request]) -> list[np.ndarray]:
    """(4, 4) RAS+ mm of the space between the visits to that of each, by rigid registration of the brains, both ways.

    Raises
    ------
    ImageError
        Two visits do not show the same brain after registration.
    """
    from thalbids.longitudinal.space import between as middle
    from thalbids.longitudinal.space import mean_space
    from thalbids.registration.ants_rigid import AntsRigid

    brains = [_brain(request) for request in requests]
    ants = AntsRigid()
    pairs: dict[tuple[int, int], np.ndarray] = {}
    for i, j in itertools.combinations(range(len(brains)), 2):
        seed = requests[i].settings.run.seed
        forth = ants.estimate(brains[i], brains[j], None, seed)
        back = ants.estimate(brains[j], brains[i], None, seed)
        pairs[i, j] = middle(forth, back)
        _check(brains[i], brains[j], pairs[i, j])
    return mean_space(pairs, len(brains))


def _brain(request: Request) -> nib.Nifti1Image:
    import nibabel as nib
    import numpy as np

    from thalbids.image.io import load_labels

    brain = np.asarray(load_labels(request.brain).dataobj) > 0
    return nib.Nifti1Image(
        np.where(brain, np.asarray(request.image.dataobj), 0).astype(np.float32), request.image.affine
    )


def _check(fixed: nib.Nifti1Image, moving: nib.Nifti1Image, matrix: np.ndarray) -> None:
    import numpy as np

    from thalbids.errors import ImageError
    from thalbids.image.grids import resample_to
    from thalbids.image.similarity import correlation
    from thalbids.methods.given import MIN_CORRELATION

    moved = np.asarray(resample_to(moving, fixed, order=1, matrix=matrix).dataobj)
    reference = np.asarray(fixed.dataobj)
    alike = correlation(reference, moved, (reference > 0) & (moved > 0))
    if not alike >= MIN_CORRELATION:
        problem = f"two visits do not show the same brain after registration (correlation {alike:.2f})."
        raise ImageError(problem, "Look at the T1w images of all visits; leave one out with --bids-filter-file.")
