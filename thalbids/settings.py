"""Every setting of a run: frozen dataclasses, filled from the command line and one TOML file.

The command line wins over the TOML file, and that over the defaults below. Nothing is global: a :class:`Settings` is
made once by :func:`load` and passed on as an argument. :meth:`Settings.to_toml` gives back a file that :func:`load`
reads to equal settings.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from thalbids import families
from thalbids.errors import UsageError

T = TypeVar("T")
OF_METHODS = "of_methods"  # the field of Settings that is no section of its own


@dataclass(frozen=True)
class Run:
    """How the work is done. Only ``precision`` and ``seed`` can change a result.

    Attributes
    ----------
    nprocs : worker processes; 1 works in this process, without a cluster
    omp_nthreads : threads of one step; 0 shares the machine's cores out among the workers
    mem_gb : memory for all workers together, in GB (10**9 bytes); None takes what the machine has free
    work_dir : folder for temporary files; None takes the system's
    stop_on_first_crash : start nothing new after the first failure
    precision : ``full`` computes in float32, the same on every machine; ``fast`` lets the processor use bfloat16
    seed : seed of everything that draws random numbers
    verbose : 0 shows warnings and results on the terminal, 1 also what is done, 2 everything
    """

    nprocs: int = field(default=1, metadata={"min": 1})
    omp_nthreads: int = field(default=0, metadata={"min": 0})
    mem_gb: float | None = field(default=None, metadata={"above": 0})
    work_dir: Path | None = None
    stop_on_first_crash: bool = False
    precision: str = field(default="full", metadata={"choices": ("full", "fast")})
    seed: int = field(default=1, metadata={"min": 0})
    verbose: int = field(default=0, metadata={"min": 0})


@dataclass(frozen=True)
class Inputs:
    """What is read of the BIDS dataset.

    Attributes
    ----------
    participant_label, session_label : labels without ``sub-`` and ``ses-``; empty means all
    bids_filter_file : JSON file that says which image to take where there are several
    bids_database_dir : folder of a pybids database, read or made there
    skip_bids_validation : accept a dataset without a valid ``dataset_description.json``
    derivatives : existing results by name (a method, ``brain``, ``manual`` ...), each the root of a derivative dataset
    """

    participant_label: tuple[str, ...] = field(default=(), metadata={"strip": "sub-"})
    session_label: tuple[str, ...] = field(default=(), metadata={"strip": "ses-"})
    bids_filter_file: Path | None = None
    bids_database_dir: Path | None = None
    skip_bids_validation: bool = False
    derivatives: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Registration:
    """How FLAIR and R1 come onto the T1w grid, and when that counts as a success (paper, 2.5.2).

    Attributes
    ----------
    flair_strategies : names of the strategies for FLAIR (and T2w), in the order in which they are tried; ``auto`` takes
        the paper's, FSL's FLIRT before ANTs, where FSL is installed, and ``mattes`` alone where it is not
    r1map_strategies : the same for R1
    rule : what makes a registration count: ``measured``, four numbers with cut-offs from real scans; ``paper``, the
        mutual information alone with the paper's cut-offs (docs/registration.md)
    cutoffs : smallest mutual information that passes, per strategy; replaces the strategy's own cut-off
    bins : bins per axis of the joint histogram of the mutual information
    choice : which strategies of a group must pass for the next group not to be tried: ``any``, or ``every``, the
        paper's words taken literally (both of FSL's, otherwise ANTs)
    r1_zero : which R1 becomes 0 when R1 is scaled to 0-1000: ``zero``, or the ``smallest`` in the brain mask
    """

    flair_strategies: tuple[str, ...] = ("auto",)
    r1map_strategies: tuple[str, ...] = ("auto",)
    rule: str = field(default="measured", metadata={"choices": ("measured", "paper")})
    cutoffs: Mapping[str, float] = field(default_factory=dict)
    bins: int = field(default=64, metadata={"min": 8})
    choice: str = field(default="any", metadata={"choices": ("any", "every")})
    r1_zero: str = field(default="zero", metadata={"choices": ("zero", "smallest")})


@dataclass(frozen=True)
class Brain:
    """Which brain mask R1 scaling, registration and FIRST use.

    Attributes
    ----------
    source : ``dbsegment`` (the paper's), ``synthal``, ``freesurfer``, ``given`` (``--derivatives brain=PATH``);
        ``auto`` takes a given one, else DBSegment's where DBSegment runs, else SynThal's
    """

    source: str = field(default="auto", metadata={"choices": lambda: ("auto", "given", *families.with_brain_mask())})


@dataclass(frozen=True)
class Methods:
    """Which masks are made.

    Attributes
    ----------
    names : methods or families; ``auto`` takes all that can run here
    extra_ensembles : ensembles beyond the paper's four
    """

    names: tuple[str, ...] = ("auto",)
    extra_ensembles: tuple[str, ...] = field(default=(), metadata={"choices": ("intersection", "staple")})


@dataclass(frozen=True)
class Cluster:
    """Jobs of a queueing system as workers; ``run.nprocs`` is their number.

    Attributes
    ----------
    system : the queueing system; ``none`` works on this machine
    queue, account : queue (partition) and account of the jobs
    walltime : time limit of a job, as the system writes it; a job that reaches it is replaced
    cores : cores of a job, and threads of a step
    memory_gb : memory of a job, in GB (10**9 bytes)
    disk_gb : disk space of a job, in GB; HTCondor only
    directives : further lines for the head of the job script, without ``#SBATCH`` and the like
    gpu_jobs : number of further jobs for steps that use a GPU
    gpu_directives : lines that ask for a GPU
    prologue : shell commands before the worker starts (``module load ...``, ``source venv/bin/activate``)
    interface : network interface by which the nodes reach this machine (``ib0``)
    """

    system: str = field(default="none", metadata={"choices": ("none", "slurm", "pbs", "sge", "lsf", "htcondor")})
    queue: str = ""
    account: str = ""
    walltime: str = "24:00:00"
    cores: int = field(default=2, metadata={"min": 1})
    memory_gb: float = field(default=8.0, metadata={"above": 0})
    disk_gb: float = field(default=10.0, metadata={"above": 0})
    directives: tuple[str, ...] = ()
    gpu_jobs: int = field(default=0, metadata={"min": 0})
    gpu_directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    interface: str = ""


@dataclass(frozen=True)
class Siena:
    """Whole-brain change between sessions, by FSL's SIENA (paper, 2.6.4) or from values that exist.

    Attributes
    ----------
    run : ``auto`` runs SIENA where FSL is installed, ``yes`` insists on it
    pairs : the first and the last session, or each with the next, or both
    table : TSV file with participant_id, session_id_baseline, session_id_followup and pbvc; then nothing is run
    directory : folder with existing SIENA results, one folder a pair; then nothing is run
    """

    run: str = field(default="auto", metadata={"choices": ("auto", "yes", "no")})
    pairs: str = field(default="first-last", metadata={"choices": ("first-last", "consecutive", "both")})
    table: Path | None = None
    directory: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """What is written beside the derivatives.

    Attributes
    ----------
    report : write ``sub-X.html``
    """

    report: bool = True


@dataclass(frozen=True)
class Clinical:
    """How the clinical tables of the raw dataset are read (docs/clinical.md).

    Attributes
    ----------
    rename : column in a table, ``COLUMN`` or ``FILE:COLUMN``, to what it stands for (``edss``, ``t25fw_1`` ...)
    missing_codes : cells that mean "not known", besides empty cells and ``n/a``; numbers match by value
    decimal_comma : numbers are written with a decimal comma
    trials : columns of the trials of a timed test (``t25fw``, ``nhpt``), where they are not named ``t25fw_1`` ...
    units : unit of a variable in the tables, where it is not the default (``age = "months"``, ``nhpt = "ms"``)
    true_words, false_words : words of yes and no, besides the usual ones
    female_words, male_words : words of the sexes, besides the usual ones
    diagnosis_groups : group to the diagnoses that belong to it; adds to the built-in groups
    violations : ``error`` stops at impossible values, ``missing`` takes them for unknown and lists them
    levels : words of an ordinal column of your own, from the lowest to the highest; they count as 1, 2, 3 ...
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    missing_codes: tuple[str, ...] = ()
    decimal_comma: bool = False
    trials: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    true_words: tuple[str, ...] = ()
    false_words: tuple[str, ...] = ()
    female_words: tuple[str, ...] = ()
    male_words: tuple[str, ...] = ()
    diagnosis_groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    violations: str = field(default="error", metadata={"choices": ("error", "missing")})
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Template:
    """The template to which each T1w is registered, for maps at the group level (docs/agreement.md).

    Attributes
    ----------
    name : a template of TemplateFlow that is on this machine (``MNI152NLin2009cAsym``), an image file, or
        ``NAME=FILE``; "" for none
    transform : ``affine``, or ``syn``: affine and a displacement field
    """

    name: str = ""
    transform: str = field(default="affine", metadata={"choices": ("affine", "syn")})


@dataclass(frozen=True)
class Group:
    """The group level (docs/group.md).

    Attributes
    ----------
    methods : methods that are analysed; empty means every method of the derivatives
    not_in_models : methods left out of the clinical models (the paper, 3.4, left FreeSurfer out)
    icv : source of the intracranial volume; ``auto`` takes the one that most sessions have, the same for everybody
    distrusted_icv : take intracranial volumes that their own flag distrusts
    pairs : pairs of sessions between which change is computed: ``first:last``, ``consecutive``, or ``A:B`` with labels
    registration : take changes by registration like methods of their own (``METHOD_registration``), beside those of
        volumes and with families of their own
    subset : diagnosis group of the sensitivity analyses
    wilcoxon : distribution of the signed-rank tests; ``exact`` is that of all signs, ties included
    containment : between which masks containment is computed: those from the T1w (the paper, 2.7.2), or all
    bootstrap : draws of a bootstrap interval
    another_person : a manual mask whose Dice coefficient with every method is below this is left out, and named
    harmonise : ``combat`` takes differences between sites out of the volumes before anything is computed from them
    keep_removed : keep people and sessions that have no folder in the raw dataset any more
    outcomes, outcomes_change : outcomes of the cross-sectional models, and those whose change is modelled; any column
        of the clinical tables
    ordinal : outcomes that are modelled by proportional odds instead of least squares
    log : outcomes of the cross-sectional models whose natural logarithm is modelled
    hc3 : outcomes with robust errors (``d_`` stands for change)
    hc3_reference : distribution of the tests with robust errors: ``z``, as in statsmodels, or ``t``
    covariates, covariates_change : covariates of the cross-sectional and of the longitudinal models
    extra_covariates : further covariates of every model; any column of the clinical tables
    categorical : columns of your own whose numbers are names of categories
    smallest_level : people whom a level of a categorical covariate needs; those of smaller levels are put together
    strict : a covariate that nobody has, or that does not vary, leaves the model unfitted instead of being left out
    sample : people of the clinical models: ``available``, everybody whom a method has, or ``common``, those whom every
        method has; the models on the other sample stand beside
    sample_methods : methods that count for ``common``, and that are compared; empty takes all of the clinical models
    baseline : which session is the baseline: the ``first`` with a usable volume, the person's ``first-visit`` or none,
        or a label
    followup_from, followup_to : years after the baseline between which a follow-up lies; 0 and None take all
    map_region, map_statistic : which value of a quantitative map inside a mask enters models and agreement
    map_covariates, map_covariates_change : covariates of the models of maps (a map has no size, so no intracranial
        volume)
    site : ``auto`` makes the site a covariate of every model where two sites have enough people and volumes are not
        harmonised, and a random effect of the mixed model; ``none`` leaves it out
    imputations : how often missing values are imputed for the clinical models beside the main ones; 0 for none, 20 and
        more are usual
    imputation_cycles : passes over all variables of an imputation
    imputation_donors : people with the nearest predictions, one of whose values is taken
    """

    methods: tuple[str, ...] = ()
    not_in_models: tuple[str, ...] = field(default_factory=families.not_in_models)
    icv: str = field(default="auto", metadata={"choices": lambda: ("auto", *families.icv_sources())})
    distrusted_icv: bool = False
    pairs: tuple[str, ...] = ("first:last",)
    registration: bool = True
    subset: str = "RRMS"
    wilcoxon: str = field(default="asymptotic", metadata={"choices": ("asymptotic", "exact")})
    containment: str = field(default="T1w", metadata={"choices": ("T1w", "all")})
    bootstrap: int = field(default=2000, metadata={"min": 100})
    another_person: float = field(default=0.1, metadata={"min": 0})
    harmonise: str = field(default="none", metadata={"choices": ("none", "combat")})
    keep_removed: bool = False
    outcomes: tuple[str, ...] = ("edss", "t25fw", "nhpt", "sdmt", "disease_duration")
    outcomes_change: tuple[str, ...] = ("edss", "t25fw", "nhpt", "sdmt")
    ordinal: tuple[str, ...] = ()
    log: tuple[str, ...] = ("t25fw", "nhpt")
    hc3: tuple[str, ...] = ("edss", "disease_duration", "d_edss", "d_nhpt")
    hc3_reference: str = field(default="z", metadata={"choices": ("z", "t")})
    covariates: tuple[str, ...] = ("age", "sex", "icv_z")
    covariates_change: tuple[str, ...] = ("age", "sex", "icv_z", "steroid", "interval_years")
    extra_covariates: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    smallest_level: int = field(default=5, metadata={"min": 1})
    strict: bool = False
    sample: str = field(default="available", metadata={"choices": ("available", "common")})
    sample_methods: tuple[str, ...] = ()
    baseline: str = "first"
    followup_from: float = field(default=0.0, metadata={"min": 0})
    followup_to: float | None = field(default=None, metadata={"above": 0})
    site: str = field(default="auto", metadata={"choices": ("auto", "none")})
    map_region: str = field(default="eroded", metadata={"choices": ("whole", "eroded")})
    map_statistic: str = field(default="mean", metadata={"choices": ("mean", "median")})
    map_covariates: tuple[str, ...] = ("age", "sex")
    map_covariates_change: tuple[str, ...] = ("age", "sex", "steroid", "interval_years")
    imputations: int = field(default=0, metadata={"min": 0})
    imputation_cycles: int = field(default=10, metadata={"min": 1})
    imputation_donors: int = field(default=5, metadata={"min": 1})


@dataclass(frozen=True)
class Checks:
    """What a referee asks for at the group level (docs/checks.md).

    Attributes
    ----------
    controls : diagnosis group of the healthy controls
    contrasts : which diagnosis groups are compared: each with the ``controls``, or ``all`` pairs
    smallest_group : people whom a diagnosis group needs to be compared
    least_controls : controls with a change that a sample size relative to them needs
    edss_high : baseline EDSS from which half a point is a progression
    confirm_weeks : weeks after which a later visit confirms a progression
    rescans : pairs of session labels ``FIRST:RESCAN`` without a change in between (besides the column ``rescan_of``)
    outlier_z : robust z of a volume, a change or a score beyond which the person is named
    cook : Cook's distance from which a person is influential in a model
    leverage : leverage from which a person is influential in a model
    """

    controls: str = "HC"
    contrasts: str = field(default="controls", metadata={"choices": ("controls", "all")})
    smallest_group: int = field(default=5, metadata={"min": 2})
    least_controls: int = field(default=10, metadata={"min": 2})
    edss_high: float = field(default=6.0, metadata={"min": 0})
    confirm_weeks: float = field(default=24.0, metadata={"min": 0})
    rescans: tuple[str, ...] = ()
    outlier_z: float = field(default=5.0, metadata={"above": 0})
    cook: float = field(default=0.5, metadata={"above": 0})
    leverage: float = field(default=0.5, metadata={"above": 0})


@dataclass(frozen=True)
class Ratings:
    """Blinded ratings by people (docs/rating.md).

    Attributes
    ----------
    files : tables that rating pages saved
    rule : when several raters differ: ``any`` fail counts, the ``majority`` (more fails than passes), or only a
        ``consensus`` (at least one fail and no pass)
    unsure : what a rating "unsure" counts as; ``ignore``: as none
    """

    files: tuple[Path, ...] = ()
    rule: str = field(default="any", metadata={"choices": ("any", "majority", "consensus")})
    unsure: str = field(default="ignore", metadata={"choices": ("ignore", "pass", "fail")})


@dataclass(frozen=True)
class Qmri:
    """R1 and other maps from raw quantitative MRI (docs/qmri.md).

    Attributes
    ----------
    source : from what R1 comes, the first that the session has: ``maps`` (an R1map or T1map), or raw images of one kind
    b1 : the B1+ map: ``auto`` takes the first kind that there is, ``none`` takes nominal flip angles for the true ones
    unringing : ``kellner`` takes Gibbs ringing out of each raw image (paper, 2.5.1; needs DIPY)
    coregistration : strategies that align the contrasts with the first PD-weighted echo, in order; empty: none does
    interpolation : of contrasts that are moved
    form : of the signal: ``exact``, ``half-angle`` (hMRI toolbox today), ``small-angle`` (hMRI toolbox up to 0.6)
    fit : of the decay over echoes: ``weighted`` (hMRI toolbox today) or ``ols``
    spoiling : correction for imperfect spoiling by the coefficients of a protocol
    largest_r1, largest_r2star : in 1/s; higher values are set to it
    mt_residual : C of the factor (1 - C) / (1 - C f_T) of MTsat; 0 for none
    vfa_fit : fit of variable flip angles
    inversion_efficiency : of MP2RAGE
    b1_smoothing_mm : width (FWHM) of the Gaussian that smooths the B1+ map; 0 for none
    b1_t1 : T1 in s for B1+ from stimulated echoes
    receive : ``auto`` divides each contrast by the receive field measured with it, where there are RB1COR images
    receive_smoothing_mm : width (FWHM) of the Gaussian that smooths the images of the receive field
    standard_errors : write maps of standard errors
    """

    source: tuple[str, ...] = field(
        default=("maps", "MPM", "MP2RAGE", "UNIT1", "VFA", "MTS", "IRT1"),
        metadata={"choices": ("maps", "MPM", "MP2RAGE", "UNIT1", "VFA", "MTS", "IRT1")},
    )
    b1: str = field(
        default="auto", metadata={"choices": ("auto", "none", "TB1map", "TB1AFI", "TB1DAM", "TB1EPI", "TB1TFL")}
    )
    unringing: str = field(default="none", metadata={"choices": ("none", "kellner")})
    coregistration: tuple[str, ...] = ("ants",)
    interpolation: str = field(default="spline", metadata={"choices": ("linear", "spline")})
    form: str = field(default="exact", metadata={"choices": ("exact", "half-angle", "small-angle")})
    fit: str = field(default="weighted", metadata={"choices": ("ols", "weighted")})
    spoiling: str = field(
        default="none",
        metadata={
            "choices": ("none", "ClassicFIL", "NewFILHelms", "SiemPrLausGK", "HResFIL", "NHResFIL", "v2k", "v3star")
        },
    )
    largest_r1: float = field(default=2.0, metadata={"above": 0})
    largest_r2star: float = field(default=200.0, metadata={"above": 0})
    mt_residual: float = field(default=0.4, metadata={"min": 0, "max": 0.9})
    vfa_fit: str = field(default="nonlinear", metadata={"choices": ("linear", "weighted", "nonlinear")})
    inversion_efficiency: float = field(default=0.96, metadata={"above": 0, "max": 1})
    b1_smoothing_mm: float = field(default=8.0, metadata={"min": 0})
    b1_t1: float = field(default=1.192, metadata={"above": 0, "max": 5})
    receive: str = field(default="auto", metadata={"choices": ("auto", "none")})
    receive_smoothing_mm: float = field(default=12.0, metadata={"above": 0})
    standard_errors: bool = True


@dataclass(frozen=True)
class Settings:
    """All sections. The names of sections and fields are those of the TOML file.

    Attributes
    ----------
    of_methods : the sections that methods bring (``tools.freesurfer``), where they differ from their defaults; read by
        :meth:`of`
    """

    run: Run = field(default_factory=Run)
    inputs: Inputs = field(default_factory=Inputs)
    registration: Registration = field(default_factory=Registration)
    brain: Brain = field(default_factory=Brain)
    methods: Methods = field(default_factory=Methods)
    siena: Siena = field(default_factory=Siena)
    outputs: Outputs = field(default_factory=Outputs)
    cluster: Cluster = field(default_factory=Cluster)
    clinical: Clinical = field(default_factory=Clinical)
    group: Group = field(default_factory=Group)
    checks: Checks = field(default_factory=Checks)
    template: Template = field(default_factory=Template)
    ratings: Ratings = field(default_factory=Ratings)
    qmri: Qmri = field(default_factory=Qmri)
    of_methods: Mapping[str, Any] = field(default_factory=dict)

    def of(self, kind: type[T]) -> T:
        """The section of this class among those of methods (``settings.of(FslSettings)``); no two have one class."""
        given = next((section for section in self.of_methods.values() if type(section) is kind), None)
        return kind() if given is None else given

    def to_toml(self) -> str:
        """The settings as TOML text; a key whose value is None is left out, which means the same."""
        sections = {item.name: getattr(self, item.name) for item in fields(self) if item.name != OF_METHODS}
        sections |= {name: self.of(kind) for name, kind in families.tables().items()}
        return "\n\n".join(_block(name, section) for name, section in sections.items()) + "\n"

    def for_method(self, tables: Iterable[type]) -> MethodSettings:
        """The part that a method gets which names these tables."""
        return MethodSettings(tuple(self.of(kind) for kind in tables), self.run)


@dataclass(frozen=True)
class MethodSettings:
    """What a method gets of the settings: its own tables, and how the run works.

    Attributes
    ----------
    tables : an instance of each class that the method names as its tables
    run : precision, seed, folder for temporary files
    """

    tables: tuple[Any, ...] = ()
    run: Run = field(default_factory=Run)

    def of(self, kind: type[T]) -> T:
        """The table of this class; its defaults where the settings say nothing of it."""
        given = next((table for table in self.tables if type(table) is kind), None)
        return kind() if given is None else given


def presets() -> dict[str, Path]:
    """Settings that are shipped, by name: files that a person can read and copy (``--preset``)."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "data").glob("*.toml"))}


def load(
    config: Path | None = None, overrides: Mapping[str, object] | None = None, preset: str | None = None
) -> Settings:
    """The settings of a run.

    Parameters
    ----------
    config
        A TOML file. Paths in it are relative to its folder.
    preset
        Name of shipped settings, over which the file is laid.
    overrides
        ``{section: {key: value}}`` from the command line, nested as the sections are. Paths in it are relative to the
        current folder.

    Raises
    ------
    UsageError
        The file cannot be read; a section or key is unknown (the nearest name is suggested); a value has the wrong type
        or range.
    """
    merged: dict[str, Any] = {}
    kind = _Section(_sections())
    if preset is not None:
        if preset not in presets():
            raise unknown_name("preset", preset, presets())
        path = presets()[preset]
        merged = _checked(_read_toml(path), kind, "", path)
    if config is not None:
        _merge(merged, _checked(_read_toml(config), kind, "", config), kind)
    _merge(merged, _checked(overrides or {}, kind, "", None), kind)
    return _made(merged)


@dataclass(frozen=True)
class _Section:
    """What may stand in a section: the type of each value, and the sections inside it.

    Attributes
    ----------
    types : name -> type, or the section
    rules : name -> metadata of the field
    """

    types: Mapping[str, Any]
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @staticmethod
    def of(kind: type) -> _Section:
        """The fields of a dataclass."""
        return _Section(typing.get_type_hints(kind), {item.name: item.metadata for item in fields(kind)})

    @property
    def inner(self) -> Mapping[str, _Section]:
        return {name: kind for name, kind in self.types.items() if isinstance(kind, _Section)}


def _own() -> dict[str, Any]:
    """The sections that belong to no method, and their dataclasses."""
    return {name: kind for name, kind in typing.get_type_hints(Settings).items() if name != OF_METHODS}


def _sections() -> dict[str, _Section]:
    """All sections of the file: ours, and those of methods, each in the section that its name says."""
    ours = {name: _Section.of(kind) for name, kind in _own().items()}
    nested: dict[str, dict[str, Any]] = {}
    for name, kind in families.tables().items():
        outer, _, inner = name.partition(".")
        if inner:
            nested.setdefault(outer, {})[inner] = _Section.of(kind)
        else:
            ours.setdefault(name, _Section.of(kind))
    return ours | {name: _Section(kinds) for name, kinds in nested.items()}


def unknown_name(kind: str, name: str, known: Iterable[str], path: Path | None = None) -> UsageError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    spelled = {known.lower(): known for known in reversed(names)}
    near = difflib.get_close_matches(name.lower(), spelled, n=1, cutoff=0.6)
    mend = f"Did you mean {spelled[near[0]]!r}?" if near else f"There is: {', '.join(names)}."
    return UsageError(f"unknown {kind} {name!r}.", mend, path)


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        problem = f"the settings file cannot be read ({error.strerror})."
        raise UsageError(problem, "Check the path given to --config.", path) from None
    except (ValueError, RecursionError) as error:  # both of tomllib and of the decoder, and numbers that are too long
        problem = f"the settings file is not valid TOML: {error}."
        raise UsageError(problem, "See docs/usage.md for an example.", path) from None


def _checked(tree: Mapping[str, object], kind: _Section, where: str, source: Path | None) -> dict[str, Any]:
    """The same tree with hyphens as underscores, every name known and every value of its field's type.

    ``kind`` is the section that the tree fills, ``where`` its name in the file ("" for the whole file).
    """
    result: dict[str, Any] = {}
    for key, value in tree.items():
        name = key.replace("-", "_")
        full = f"{where}.{name}" if where else name
        if name not in kind.types:
            raise unknown_name(_kind_of_name(where, bool(kind.inner)), key, kind.types, source)
        if name in result:
            raise UsageError(f"{full} is set twice.", "Keep one of the two spellings.", source)
        if name in kind.inner:
            if not isinstance(value, Mapping):
                mend = f"Write [{full}] on a line of its own."
                raise UsageError(f"{full!r} is a section, not a value.", mend, source)
            result[name] = _checked(value, kind.inner[name], full, source)
        else:
            result[name] = _Value(full, kind.rules[name], source).read(value, kind.types[name])
    return result


def _kind_of_name(where: str, holds_sections: bool) -> str:
    kind = "section" if holds_sections else "setting"
    return f"{kind} in [{where}]" if where else kind


def _merge(tree: dict[str, Any], over: Mapping[str, Any], kind: _Section) -> None:
    """Lay ``over`` over ``tree``, section by section; a table that is one setting is replaced as a whole."""
    for name, value in over.items():
        if name in kind.inner and name in tree:
            _merge(tree[name], value, kind.inner[name])
        else:
            tree[name] = value


def _made(tree: Mapping[str, Any]) -> Settings:
    """The settings from checked sections."""
    ours = {name: kind(**tree[name]) for name, kind in _own().items() if name in tree}
    of_methods = {}
    for name, kind in families.tables().items():
        outer, _, inner = name.partition(".")
        values = tree.get(outer, {})
        section = kind(**(values.get(inner, {}) if inner else values))
        if section != kind():
            of_methods[name] = section
    return Settings(**ours, of_methods=of_methods)


def _block(name: str, section: Any) -> str:
    """``[section]`` with its keys."""
    values = {item.name: getattr(section, item.name) for item in fields(section)}
    lines = (f"{key} = {_toml(value)}" for key, value in values.items() if value is not None)
    return "\n".join([f"[{name}]", *lines])


def _list_of(value: object) -> str:
    """What a list of names must look like, by what was given in its place.

    Examples
    --------
    >>> _list_of("edss, sdmt"), _list_of(4)
    ('a list: ["edss", "sdmt"]', 'a list of names in quotes and square brackets')
    """
    items = value.replace(",", " ").split() if isinstance(value, str) else value
    if isinstance(items, (list, tuple)) and items:
        return "a list: [" + ", ".join(f'"{item}"' for item in items) + "]"
    return "a list of names in quotes and square brackets"


@dataclass(frozen=True)
class _Value:
    """One value on its way into a field; knows what to call itself in an error."""

    name: str
    rules: Mapping[str, Any]
    source: Path | None

    def read(self, value: object, kind: Any) -> Any:
        if isinstance(kind, types.UnionType):  # "X | None": TOML has no null, so a value that is there is an X
            kind = next(option for option in typing.get_args(kind) if option is not types.NoneType)
        if typing.get_origin(kind) is tuple:
            read: Mapping[Any, Any] = {str: self._names, Path: self._paths, int: self._numbers}
            values: tuple[Any, ...] = read[typing.get_args(kind)[0]](value)
            return values
        if typing.get_origin(kind) is Mapping:
            return self._table(value, typing.get_args(kind)[1])
        if kind is Path:
            return self._path(value)
        if kind is bool:
            if not isinstance(value, bool):
                raise self._wrong(value, "true or false")
            return value
        if kind is str:
            if not isinstance(value, str):
                raise self._wrong(value, "text")
            return self._chosen(value)
        return self._number(value, kind)

    def _table(self, value: object, kind: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise self._wrong(value, "a table of numbers" if kind is float else "a table")
        return {
            str(key): _Value(f"{self.name}.{key}", self.rules, self.source).read(v, kind) for key, v in value.items()
        }

    def _number(self, value: object, kind: type[int] | type[float]) -> float:
        accepted = (int, float) if kind is float else (int,)
        if isinstance(value, bool) or not isinstance(value, accepted) or not math.isfinite(value):
            raise self._wrong(value, "a number" if kind is float else "a whole number")
        if value < self.rules.get("min", -math.inf):
            raise self._wrong(value, f"at least {self.rules['min']}")
        if value > self.rules.get("max", math.inf):
            raise self._wrong(value, f"at most {self.rules['max']}")
        if value <= self.rules.get("above", -math.inf):
            raise self._wrong(value, f"above {self.rules['above']}")
        return kind(value)

    def _names(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise self._wrong(value, _list_of(value))
        if self.rules.get("words"):
            return tuple(value)
        if not all(item.strip() for item in value):
            raise self._wrong(value, "a list of names, none of them empty")
        prefix = self.rules.get("strip", "")
        return tuple(dict.fromkeys(self._chosen(item.strip().removeprefix(prefix)) for item in value))

    def _numbers(self, value: object) -> tuple[int, ...]:
        if not isinstance(value, (list, tuple)):
            raise self._wrong(value, "a list of whole numbers, such as [4, 6]")
        return tuple(dict.fromkeys(int(self._number(item, int)) for item in value))

    def _paths(self, value: object) -> tuple[Path, ...]:
        if not isinstance(value, (list, tuple)):
            raise self._wrong(value, "a list of paths")
        return tuple(dict.fromkeys(self._path(item) for item in value))

    def _chosen(self, value: str) -> str:
        choices = self.rules.get("choices")
        choices = choices() if callable(choices) else choices  # the registry of methods is asked when it is needed
        if choices is not None and value not in choices:
            raise unknown_name(f"value of {self.name}", value, choices, self.source)
        return value

    def _path(self, value: object) -> Path:
        if not isinstance(value, (str, Path)) or not str(value):
            raise self._wrong(value, "a path")
        path = Path(value).expanduser()
        if not path.is_absolute():
            path = (self.source.parent if self.source is not None else Path()) / path
        try:
            str(path).encode("utf-8")  # a name that is not text could not be written to the logs
        except UnicodeEncodeError:
            raise self._wrong(value, "a path whose name is valid text") from None
        return path.absolute()

    def _wrong(self, value: object, expected: str) -> UsageError:
        return UsageError(f"{self.name} is {value!r}.", f"It must be {expected}.", self.source)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    # JSON and TOML strings differ in one character only: TOML wants DEL escaped
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
