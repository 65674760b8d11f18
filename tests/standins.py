"""Stand-ins for external programs, written from their documentation: same arguments, same files, and each way to fail.

``install(folder, "run_first_all", "missing side")`` writes an executable of that name; put ``folder`` first on the
PATH. Thalami are two ellipsoids left and right of the centre of what is brighter than 0, so that they lie in the brain.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

COMMON = ("good", "noise", "fails", "silent failure", "missing side", "other grid", "killed", "hangs")
MODES = {
    "run_first_all": (*COMMON, "complains", "single structures", "one structure", "submits itself"),
    "recon-all": (*COMMON, "still running", "no stats", "unfinished"),
    "DBSegment": (*COMMON, "renamed", "no native"),
    "mindglide": (*COMMON, "one fails", "killed after one", "renamed"),
    "run_samseg": (*COMMON, "half"),
    "run_samseg_long": (*COMMON, "half"),
}
RADII = np.array([6.0, 11.0, 7.0])  # mm
LEFT_OF_CENTRE = np.array([-11.0, 0.0, 0.0])


def install(folder: Path, tool: str, mode: str = "good", size: int = 256) -> Path:
    """Write the stand-in of a program into a folder; gives its path. ``size``: of conformed images, 256 in truth."""
    if mode not in MODES[tool]:
        raise ValueError(f"{tool} has no mode {mode!r}: {MODES[tool]}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / tool
    words = [sys.executable, str(Path(__file__).resolve()), tool, mode, str(size)]
    path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    path.chmod(0o755)
    return path


def thalami(image: nib.Nifti1Image, left: int, right: int, *, both: bool = True) -> np.ndarray:
    """Labels (uint8) on the grid of an image."""
    bright = np.argwhere(np.nan_to_num(np.asarray(image.dataobj)) > 0)
    centre = (image.affine @ [*bright.mean(axis=0), 1])[:3]
    labels = np.zeros(image.shape, dtype=np.uint8)
    for label, place in ((left, centre + LEFT_OF_CENTRE), (right, centre - LEFT_OF_CENTRE))[: 2 if both else 1]:
        middle = (np.linalg.inv(image.affine) @ [*place, 1])[:3]
        reach = RADII.max() / np.linalg.norm(image.affine[:3, :3], axis=0)
        low = np.maximum(np.floor(middle - reach), 0).astype(int)
        box = np.maximum(np.minimum(np.ceil(middle + reach) + 1, image.shape) - low, 0).astype(int)
        index = np.indices(box).reshape(3, -1) + low[:, None]
        world = (image.affine[:3, :3] @ index + image.affine[:3, 3:]).T
        inside = (((world - place) / RADII) ** 2).sum(axis=1) <= 1
        labels[tuple(index[:, inside])] = label
    return labels


def conformed(image: nib.Nifti1Image, axes: str, size: int) -> nib.Nifti1Image:
    """The image at 1 mm on a cube with these axes, centred where the image is (linear)."""
    sign = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, axis in enumerate(axes):
        row, direction = sign[axis]
        affine[row, column] = direction
    centre = image.affine @ [*((np.array(image.shape) - 1) / 2), 1]
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ np.full(3, size / 2)
    back = np.linalg.inv(image.affine) @ affine
    from scipy import ndimage

    data = np.asarray(image.dataobj).astype(np.float32)
    ready = ndimage.affine_transform(data, back[:3, :3], back[:3, 3], output_shape=(size,) * 3, order=1)
    return nib.Nifti1Image(ready.astype(np.asarray(image.dataobj).dtype), affine)


def save(labels: np.ndarray, affine: np.ndarray, path: Path, mode: str = "good") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "other grid":
        labels, affine = labels[1:], affine + np.diag([0.5, 0, 0, 0])
    kind = nib.MGHImage if path.suffix == ".mgz" else nib.Nifti1Image
    nib.save(kind(labels, affine), path)


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def run_first_all(words: list[str], mode: str, size: int) -> int:
    """FSL FIRST: ``-i IMAGE -o PREFIX -s L_Thal,R_Thal -b``."""
    assert value(words, "-s") == "L_Thal,R_Thal" and "-b" in words
    image, prefix = nib.load(value(words, "-i")), value(words, "-o")
    logs = Path(f"{prefix}.logs")
    logs.mkdir(exist_ok=True)
    (logs / "first.e1").write_text("")
    (logs / "first.o1").write_text("done\n")
    if mode == "silent failure":  # the registration failed, the script goes on
        (logs / "registration.e7").write_text(
            "Image Exception : #22 :: ERROR: Could not open image T1_brain_to_std_sub\n"
        )
        return 0
    if mode == "complains":
        (logs / "first.e1").write_text("terminate called after throwing an instance of 'std::bad_alloc'\n")
    labels = thalami(image, 10, 49, both=mode != "missing side")
    if mode == "submits itself":
        print("4711")
        late = [sys.executable, __file__, "run_first_all", "late", str(size), *words]
        subprocess.Popen(late, stdin=subprocess.DEVNULL)
        return 0
    if mode == "late":
        time.sleep(1.0)
    for name, label in (("L_Thal", 10), ("R_Thal", 49))[: 1 if mode == "one structure" else 2]:
        save(np.where(labels == label, labels, 0), image.affine, Path(f"{prefix}-{name}_corr.nii.gz"), mode)
    if mode not in ("single structures", "one structure"):
        save(labels, image.affine, Path(f"{prefix}_all_none_firstseg.nii.gz"), mode)
        save(np.stack([labels, labels], -1)[..., :2], image.affine, Path(f"{prefix}_all_none_origsegs.nii.gz"))
    return 0


def recon_all(words: list[str], mode: str, size: int) -> int:
    """FreeSurfer: ``-all -s NAME -sd FOLDER -i T1 [-T2 T2 -T2pial]``."""
    if "-version" in words:
        print("freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460")
        return 0
    assert os.environ.get("FS_LICENSE"), "ERROR: FreeSurfer license file not found"
    folder = Path(value(words, "-sd")) / value(words, "-s")
    assert Path(value(words, "-i")).exists() and not folder.exists()
    for name in ("mri", "stats", "scripts"):
        (folder / name).mkdir(parents=True)
    log = folder / "scripts" / "recon-all.log"
    (folder / "scripts" / "build-stamp.txt").write_text("freesurfer-linux-ubuntu22_x86_64-7.4.1-20230614-7eb8460\n")
    if mode in ("fails", "silent failure"):
        (folder / "scripts" / "recon-all.error").write_text("CMD mri_ca_register\n")
        log.write_text(
            f"ERROR: mri_ca_register: did not converge\nrecon-all -s {value(words, '-s')} exited with ERRORS\n"
        )
        print(log.read_text())
        return 0 if mode == "silent failure" else 1
    if mode == "still running":
        (folder / "scripts" / "IsRunning.lh+rh").write_text("")
    image = conformed(nib.load(value(words, "-i")), "LIA", size)
    labels = thalami(image, 10, 49, both=mode != "missing side")
    save(labels, image.affine, folder / "mri" / "aseg.mgz")
    rows = [(label, int((labels == label).sum())) for label in (10, 49) if (labels == label).any()]
    if mode != "no stats":
        table = "".join(
            f" {i}  {label} {n} {n * 0.97:.1f} Thalamus-{label} 80.0 8.0 40 110 70\n"
            for i, (label, n) in enumerate(rows)
        )
        (folder / "stats" / "aseg.stats").write_text(
            "# Title Segmentation Statistics\n# cvs_version 7.4.1\n"
            "# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, 1500000.5, mm^3\n"
            "# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean normStdDev normMin normMax normRange\n"
            + table
        )
    log.write_text("at work\n" + ("" if mode == "unfinished" else "recon-all -s X finished without error at ...\n"))
    return 0


def dbsegment(words: list[str], mode: str, size: int) -> int:
    """DBSegment 0.2.2 with its defects: uint8 that ends at 255, sform from qform, silent about NaN."""
    source, out = Path(value(words, "-i")), Path(value(words, "-o"))
    for path in sorted(source.glob("*.nii.gz")):
        stem = path.name.removesuffix(".nii.gz")
        image = nib.load(path)
        if np.isnan(np.asarray(image.dataobj, dtype=np.float32)).any():
            continue
        cast = np.clip(np.asarray(image.dataobj), 0, 255).astype(np.uint8)
        image = nib.Nifti1Image(cast, image.header.get_qform())
        ready = conformed(image, "RAS", size)
        save(np.asarray(ready.dataobj), ready.affine, source / "preprocessed_v3" / f"{stem}_0000.nii.gz")
        if mode in ("silent failure", "fails"):
            print("nnU-Net: no folds found")
            return int(mode == "fails")
        brain = (np.asarray(ready.dataobj) > 0).astype(np.uint8)
        labels = np.where(brain, np.maximum(thalami(ready, 24, 25, both=mode != "missing side"), brain), 0).astype(
            np.uint8
        )
        name = "result" if mode == "renamed" else stem
        save(labels, ready.affine, out / "preprocessed_v3" / f"{name}.nii.gz", mode)
        if mode != "no native":
            native = np.maximum(thalami(image, 24, 25, both=mode != "missing side"), cast > 0).astype(np.uint8)
            save(native, image.affine, out / f"{name}.nii.gz", mode)
            save((native > 0).astype(np.uint8), image.affine, out / f"{name}_brainmask.nii.gz")
    return 0


def mindglide(words: list[str], mode: str, size: int) -> int:
    """MindGlide 1.3 on a folder of scans; needs a checkpoint by name, as the real one would download it."""
    if "--version" in words:
        print("mindglide 1.3.0")
        return 0
    if not Path(value(words, "--model-path")).is_file():
        sys.exit(f"Error: model checkpoint not found: {value(words, '--model-path')}")
    source, out = Path(value(words, "-i")), Path(value(words, "-o"))
    scans = sorted(source.glob("*.nii.gz"))
    failed = []
    for number, path in enumerate(scans):
        image = nib.load(path)
        if mode == "fails" or (mode == "one fails" and number == 0):
            print(f"\nError processing scan: {path}\nReason: CUDA out of memory")
            failed.append(path)
            continue
        if mode == "silent failure":
            continue
        if mode == "killed after one" and number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        labels = thalami(image, 3, 3)
        labels[(labels == 0) & (np.asarray(image.dataobj) > 0)] = 13
        if mode == "missing side":
            labels[labels == 3] = 13
        ending = "mask" if mode == "renamed" else "seg"
        save(labels, image.affine, out / path.name.replace(".nii.gz", f"_{ending}.nii.gz"), mode)
    if failed:
        sys.exit(1)
    return 0


def run_samseg(words: list[str], mode: str, size: int) -> int:
    """SAMSEG 0.4a0: ``-i IMAGE ... -o FOLDER --threads N --save-posteriors NAME ...``; files and texts as it leaves
    them, the segmentation before the tables.
    """
    names = words[words.index("-i") + 1 : words.index("-o")]
    images = [nib.load(name) for name in names]
    folder = Path(value(words, "-o"))
    folder.mkdir(parents=True, exist_ok=True)
    if mode in ("fails", "silent failure"):
        print("numpy.linalg.LinAlgError: Singular matrix")
        return int(mode == "fails")
    samseg_results(images, folder, mode, words)
    print("run_samseg complete: 0 days, 0 hours, 9 minutes, 51 seconds")
    return 0


def run_samseg_long(words: list[str], mode: str, size: int) -> int:
    """Longitudinal SAMSEG 0.4a0: ``-t IMAGE ... -t IMAGE ... -o FOLDER``; images of all visits lie on one grid."""
    points: list[list[str]] = []
    for word in words[: words.index("-o")]:
        if word == "-t":
            points.append([])
        else:
            points[-1].append(word)
    visits = [[nib.load(name) for name in names] for names in points]
    assert len(visits) > 1 and all(np.allclose(v[0].affine, visits[0][0].affine) for v in visits)
    if mode in ("fails", "silent failure"):
        print("must provide more than 1 timepoint")
        return int(mode == "fails")
    folder = Path(value(words, "-o"))
    for number, images in enumerate(visits, 1):
        samseg_results(images, folder / f"tp{number:03d}", mode if number > 1 else "good", words)
    return 0


def samseg_results(images: list[nib.Nifti1Image], folder: Path, mode: str = "good", words: Sequence[str] = ()) -> None:
    """What SAMSEG leaves of the images of a session."""
    first, data = images[0], np.asarray(images[0].dataobj)
    brain = data > 0
    labels = np.where(brain, 3, 0).astype(np.int32)
    seen = thalami(first, 10, 49, both=mode != "missing side")
    labels[seen > 0] = seen[seen > 0]
    if "--lesion" in words:
        bright = np.argwhere(labels == 3)[-8:]
        labels[tuple(bright.T)] = 99
    save(labels, first.affine, folder / "seg.mgz", mode)
    for number, image in enumerate(images, 1):
        corrected = np.asarray(image.dataobj, dtype=np.float32)
        save(corrected, image.affine, folder / f"mode{number:02d}_bias_corrected.mgz")
    if mode == "half":  # killed while it wrote
        return
    voxel = abs(float(np.linalg.det(first.affine[:3, :3])))
    volumes = {"Unknown": (0, 1e6), "Left-Cerebral-Cortex": (3, brain.sum() * voxel)}
    for name, label in (("Left-Thalamus", 10), ("Right-Thalamus", 49)):
        soft = 0.9 * (seen == label).astype(np.float32)
        volumes[name] = (label, float(soft.sum()) * voxel)
        if "--save-posteriors" in words:
            save(soft, first.affine, folder / "posteriors" / f"{name}.mgz")
    icv = f"# Measure Intra-Cranial, {1.1 * brain.sum() * voxel:.6f}, mm^3\n"
    (folder / "sbtiv.stats").write_text(icv)
    told = "".join(f"# Measure {name}, {volume:.6f}, mm^3\n" for name, (_, volume) in volumes.items())
    (folder / "samseg.stats").write_text(icv + told)
    rows = [
        f"{k:3d} {label:4d} {round(volume / voxel):7d} {volume:9.1f} {name}\n"
        for k, (name, (label, volume)) in enumerate(sorted(volumes.items(), key=lambda item: item[1][0]))
        if label
    ]
    (folder / "samseg.fs.stats").write_text("# ColHeaders  Index SegId NVoxels Volume_mm3 StructName\n" + "".join(rows))


PROGRAMS: dict[str, Callable[[list[str], str, int], int]] = {
    "run_first_all": run_first_all,
    "recon-all": recon_all,
    "DBSegment": dbsegment,
    "mindglide": mindglide,
    "run_samseg": run_samseg,
    "run_samseg_long": run_samseg_long,
}


def main() -> int:
    tool, mode, size, *words = sys.argv[1:]
    asked_version = {"-version", "--version"} & set(words)
    if mode == "noise":
        print("WARNING: libpng error, ignored", file=sys.stderr)
    if mode == "killed" and not asked_version:
        print("Loading", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "hangs" and not asked_version:
        print("waiting for a node", flush=True)
        time.sleep(600)
    if mode == "fails" and tool == "run_first_all":
        print("Error: cannot open volume")
        return 1
    return PROGRAMS[tool](words, mode, int(size))


if __name__ == "__main__":
    sys.exit(main())
