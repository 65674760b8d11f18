"""The process in which ANTs runs: reads a job from standard input, writes the transform as JSON to standard output.

Started by file name by :mod:`thalbids.registration.ants_rigid`; imports nothing of this package.
"""

import io
import json
import shutil
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

UNUSED = ("contrib", "deeplearn", "label", "learn", "math", "plotting", "segmentation")
# parts of ANTsPy that a registration does without, empty here: two thirds of the time to import it go into them
sys.modules |= {f"ants.{part}": types.ModuleType(f"ants.{part}") for part in UNUSED}

try:
    import ants
except ImportError:  # a version whose other parts need them
    for name in [name for name in sys.modules if name.split(".")[0] == "ants"]:
        del sys.modules[name]
    import ants
from ants.internal import get_pointer_string  # noqa: E402


def main() -> None:
    """One registration: fixed and moving image in, the 12 parameters (LPS, fixed to moving) and the centre out.

    A job of the kind ``syn`` writes a composite transform to its ``output`` instead.
    """
    job = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    images = {
        role: ants.from_numpy(
            job[role],
            origin=job[f"{role}_origin"].tolist(),
            spacing=job[f"{role}_spacing"].tolist(),
            direction=job[f"{role}_direction"],
        ).clone("double")  # the pixel type that --float 0 expects behind the pointer
        for role in ("fixed", "moving")
    }
    pointers = f"{get_pointer_string(images['fixed'])},{get_pointer_string(images['moving'])}"
    with tempfile.TemporaryDirectory(prefix="thalbids-ants-") as folder:
        # ants.registration(fixed, moving, "Rigid", random_seed=...) ignores the seed (0.6.3) and resamples both images
        # for nothing; this is the command line that it would write, with levels for 2 mm images and with the seed
        # (0 would mean the clock)
        kind = str(job["kind"])
        ants.registration(
            ["--dimensionality", "3",
             *stages(kind, pointers),
             "--output", f"{folder}/",
             "--random-seed", str(int(job["seed"]) or 2**31 - 2),
             "-u", "0", "-z", "1", "--float", "0", "--write-composite-transform", str(int(kind == "syn"))],
            None,
        )  # fmt: skip
        if kind == "syn":
            shutil.copyfile(Path(folder) / "Composite.h5", str(job["output"]))
            print("\n{}")
            return
        transform = ants.read_transform(str(next(Path(folder).glob("*GenericAffine.mat"))))
    answer = {
        "parameters": list(map(float, transform.parameters)),
        "centre": list(map(float, transform.fixed_parameters)),
    }
    print("\n" + json.dumps(answer))


def stages(kind: str, pointers: str) -> list[str]:
    """Stages of a registration of 2 mm images: ``rigid``; ``affine``, from the centres of mass; ``syn`` after it.

    ``rigid default`` are the stages that ``ants.registration(fixed, moving, "Rigid")`` writes, for images as they are.
    """
    if kind == "rigid default":
        return [
            "--metric", f"mattes[{pointers},1,32,regular,0.2]",
            "--transform", "Rigid[0.25]",
            "--convergence", "[2100x1200x1200x10,1e-6,10]",
            "--shrink-factors", "6x4x2x1",
            "--smoothing-sigmas", "3x2x1x0vox",
        ]  # fmt: skip
    linear = [
        "--metric", f"mattes[{pointers},1,32,regular,0.2]",
        "--convergence", "[200x100x20,1e-6,10]",
        "--shrink-factors", "4x2x1",
        "--smoothing-sigmas", "2x1x0vox",
    ]  # fmt: skip
    rigid = [*linear[:2], "--transform", "Rigid[0.25]", *linear[2:]]
    if kind == "rigid":
        return rigid
    affine = [*linear[:2], "--transform", "Affine[0.1]", *linear[2:]]
    deformable = [
        "--metric", f"CC[{pointers},1,2]",
        "--transform", "SyN[0.1,3,0]",
        "--convergence", "[60x30,1e-6,10]",
        "--shrink-factors", "4x2",
        "--smoothing-sigmas", "2x1vox",
    ]  # fmt: skip
    start = ["--initial-moving-transform", f"[{pointers},1]"]
    return [*start, *rigid, *affine, *(deformable if kind == "syn" else [])]


if __name__ == "__main__":
    main()
