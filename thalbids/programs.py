"""Settings of the external programs, one class for each table ``[tools.NAME]`` of the settings file.

A method names the classes of its tables (:class:`thalbids.families.Family`), and the settings file may then have them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Program:
    """How an external program is run; what all of ``[tools.NAME]`` share.

    Attributes
    ----------
    runner : on this machine, or in a container
    image : the container image: a name that Docker knows, or the file or folder of an Apptainer image
    command : words that start the program, in place of its name (``["micromamba", "run", "-n", "dbs", "DBSegment"]``);
        for FSL, which has many programs, the words before their names
    timeout_minutes : time limit of one call
    """

    runner: str = field(default="local", metadata={"choices": ("local", "docker", "apptainer")})
    image: str = ""
    command: tuple[str, ...] = field(default=(), metadata={"words": True})
    timeout_minutes: float = field(default=120.0, metadata={"above": 0})


@dataclass(frozen=True)
class FslSettings(Program):
    """FIRST, FLIRT and SIENA.

    Attributes
    ----------
    siena_options : options of ``siena``, word by word (``["-B", "-f 0.3 -B", "-m"]``)
    """

    siena_options: tuple[str, ...] = field(default=(), metadata={"words": True})


@dataclass(frozen=True)
class FreeSurferSettings(Program):
    """FreeSurfer: run, or read from a subjects directory.

    Attributes
    ----------
    subjects_dir : existing results (``sub-X_ses-Y``, ``sub-X``; ``sub-X_ses-Y.long.BASE`` for ``freesurferLong``)
    license_file : the licence; asked for only when recon-all runs
    hires : keep voxels below 1 mm (``-hires``)
    options : further options of ``recon-all``
    """

    timeout_minutes: float = field(default=1440.0, metadata={"above": 0})
    subjects_dir: Path | None = None
    license_file: Path | None = None
    hires: bool = False
    options: tuple[str, ...] = field(default=(), metadata={"words": True})


@dataclass(frozen=True)
class DbSegmentSettings(Program):
    """DBSegment.

    Attributes
    ----------
    engine : what computes: ``thalbids`` itself (the models alone are needed), or DBSegment's own program
        (``upstream``); ``auto``: that program in the mode ``paper``, where ``command``, ``runner`` or a GPU asks for
        it, and where it is here and thalbids cannot use the models; else thalbids
    extent : of ``thalbids``: ``auto`` labels near the thalami where the brain mask is not DBSegment's (fewer windows),
        else everything; ``head``: everything
    models : folder of the models (``-mp``)
    mode : ``conformed`` takes the 1 mm result back to the scan by its header; ``paper`` uses the scan's own
        intensities, five folds, test-time augmentation and the tool's own way back (an ANTs registration that is not
        the same twice)
    folds : folds of the network; empty: 4 and 6 (the tool's default), in ``paper`` mode 0 to 4
    test_time_augmentation : average over mirrored inputs; None: only in ``paper`` mode
    device : where the network runs; a GPU (``cuda``, or ``auto`` when there is one) may give slightly other masks
    timeout_minutes : time limit of one scan; 0: by the work, three times what one thread takes, at least 120
    """

    timeout_minutes: float = field(default=0.0, metadata={"min": 0})
    engine: str = field(default="auto", metadata={"choices": ("auto", "thalbids", "upstream")})
    extent: str = field(default="auto", metadata={"choices": ("auto", "head")})
    models: Path | None = None
    mode: str = field(default="conformed", metadata={"choices": ("conformed", "paper")})
    folds: tuple[int, ...] = field(default=(), metadata={"min": 0, "max": 6})
    test_time_augmentation: bool | None = None
    device: str = field(default="cpu", metadata={"choices": ("cpu", "cuda", "auto")})


@dataclass(frozen=True)
class MindGlideSettings(Program):
    """MindGlide.

    Attributes
    ----------
    engine : what computes: ``thalbids`` itself (the checkpoint alone is needed), or MindGlide's own program
        (``upstream``); ``auto``: that program where ``command``, ``runner`` or a GPU asks for it, else thalbids
    extent : of ``thalbids``: labels near the envelope, where the masks are cut from (fewer windows), or of the whole
        ``head``
    checkpoint : file of the weights; None: the variable MODEL_PATH, then what ``thalbids fetch`` brought
    device : where the network runs; a GPU (``cuda``, or ``auto`` when there is one) may give slightly other masks
    reorient, keep_largest : as MindGlide 1.3 does; false for both is closest to version 1.0, which the paper used
    """

    engine: str = field(default="auto", metadata={"choices": ("auto", "thalbids", "upstream")})
    extent: str = field(default="envelope", metadata={"choices": ("envelope", "head")})
    checkpoint: Path | None = None
    device: str = field(default="cpu", metadata={"choices": ("cpu", "cuda", "auto")})
    reorient: bool = True
    keep_largest: bool = True


@dataclass(frozen=True)
class SamsegSettings(Program):
    """SAMSEG: run, or read from results that exist.

    Attributes
    ----------
    results_dir : existing results, one folder a session (``sub-X_ses-Y`` or ``sub-X``), as run_samseg leaves them
    lesion : segment white-matter lesions too (``--lesion``); needs TensorFlow in SAMSEG's environment
    pallidum_separate : the pallidum is no part of the white matter (``--pallidum-separate``); ``auto``: where a FLAIR
        or T2w is among the images, as SAMSEG advises
    options : further options of ``run_samseg``
    """

    timeout_minutes: float = field(default=180.0, metadata={"above": 0})
    results_dir: Path | None = None
    lesion: bool = False
    pallidum_separate: str = field(default="auto", metadata={"choices": ("auto", "yes", "no")})
    options: tuple[str, ...] = field(default=(), metadata={"words": True})


@dataclass(frozen=True)
class WholeBrainSettings(Program):
    """FastSurfer, SynthSeg, HIPS-THOMAS: run, or read from results that exist.

    Attributes
    ----------
    results_dir : existing results, one folder a session (``sub-X_ses-Y`` or ``sub-X``)
    options : further options of the program
    """

    results_dir: Path | None = None
    options: tuple[str, ...] = field(default=(), metadata={"words": True})


@dataclass(frozen=True)
class FastSurferSettings(WholeBrainSettings):
    """FastSurfer; attributes as above."""


@dataclass(frozen=True)
class SynthSegSettings(WholeBrainSettings):
    """SynthSeg; attributes as above."""


@dataclass(frozen=True)
class ThomasSettings(WholeBrainSettings):
    """HIPS-THOMAS; attributes as above."""
