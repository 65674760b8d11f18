"""What is known of every family of masks: how it is called and shown, what it reads, what it is taken for.

Each method says this itself, as attributes of its class in :mod:`thalbids.methods` or in a package of its own. Names,
palette, settings, command line and ``doctor`` ask here. The classes are loaded by their names, as entry points are, so
that the lower layers ask without importing upwards; their modules import nothing heavy.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "thalbids.methods"  # of entry points
ONE_IMAGE, SEVERAL_IMAGES, SEVERAL_SESSIONS = "image", "images", "sessions"
KINDS = (ONE_IMAGE, SEVERAL_IMAGES, SEVERAL_SESSIONS)


@dataclass(frozen=True)
class Option:
    """A command-line option of a method: it fills one setting (``tools.freesurfer.subjects_dir``) with a path."""

    option: str
    setting: str
    text: str
    metavar: str = "FILE"


@dataclass(frozen=True)
class Family:
    """What a method says about itself. Only ``family`` and ``images`` must be there.

    Attributes
    ----------
    family : the name in files and tables
    images : the images that it can read
    reads : ``image``: one mask of each image; ``images``: one mask of all images of a session together; ``sessions``:
        all sessions of a person together, one mask in each
    shown : the name for people; the family's own without one
    single : a mask is named by the family alone (``first``), not by family and image (``synthalT1w``)
    colour : #RRGGBB of every mask; without one the images decide
    dash : SVG pattern of its outlines; "" for a solid line
    marker : matplotlib's marker; without one the name decides
    relative_volume : what its protocol measures of one thalamus relative to FreeSurfer's aseg; None where unknown
    envelope : its thalamus can cut what another method finds
    cut_with : the family that cuts its masks unless the settings name another; "" when nothing cuts them
    cut_words : how the cut is told, with ``{}`` for the envelope
    brain_mask : what its brain mask is taken for: ``embedded`` (always there, all others are checked against it),
        ``auto`` (before the embedded one where it runs), ``asked`` (when ``[brain] source`` names it), ``none``
    icv : what its intracranial volume is, for the table's description; "" when it gives none
    in_models : its volumes are in the clinical models unless the settings say otherwise
    device : the settings table that says where it computes (``tools.dbsegment``); "" without one
    tables : sections of the settings file that are its own, and the dataclass of each: ``tools.NAME`` for how a program
        is run, the family's name for the rest; methods may share one
    options : command-line options of its own
    code_url : where the code of its program is, for sidecars and GeneratedBy
    download : what ``thalbids fetch`` brings for it, in words; "" for nothing. With it, ``downloads()`` gives the files
    """

    family: str
    images: tuple[str, ...] = ("T1w",)
    reads: str = ONE_IMAGE
    shown: str = ""
    single: bool = False
    colour: str = ""
    dash: str = ""
    marker: str = ""
    relative_volume: float | None = None
    envelope: bool = False
    cut_with: str = ""
    cut_words: str = "inside the thalamus of {}"
    brain_mask: str = "none"
    icv: str = ""
    in_models: bool = True
    device: str = ""
    tables: Mapping[str, type] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    code_url: str = ""
    download: str = ""

    @property
    def label(self) -> str:
        """The name for people."""
        return self.shown or self.family


@dataclass(frozen=True)
class Broken:
    """A method of another package that cannot be loaded."""

    name: str
    package: str
    error: Exception


def known() -> Mapping[str, Family]:
    """Every family, in the order of tables and figures: our own, then those of other packages."""
    return loaded()[1]


def of(family: str) -> Family:
    """What is known of a family; of one that is not installed here, its name."""
    return known().get(family) or Family(family)


def methods() -> Mapping[str, Any]:
    """The methods themselves, by family."""
    return loaded()[0]


def envelopes() -> tuple[str, ...]:
    """The families that can cut the masks of others; the default first."""
    cutting = {entry.cut_with for entry in known().values()}
    able = [name for name, entry in known().items() if entry.envelope]
    return tuple(sorted(able, key=lambda name: (name not in cutting, name)))


def embedded() -> str:
    """The family that is always there: its brain mask is what every other one is checked against."""
    return next(name for name, entry in known().items() if entry.brain_mask == "embedded")


def with_brain_mask(*kinds: str) -> tuple[str, ...]:
    """The families whose brain mask is of one of these kinds; without any, all that have one."""
    return tuple(n for n, entry in known().items() if entry.brain_mask in (kinds or ("embedded", "auto", "asked")))


def icv_sources() -> tuple[str, ...]:
    """Where an intracranial volume may come from, the preferred source first."""
    return ("given", *(name for name, entry in known().items() if entry.icv))


def not_in_models() -> tuple[str, ...]:
    """The families that stay out of the clinical models unless the settings say otherwise."""
    return tuple(name for name, entry in known().items() if not entry.in_models)


def tables() -> Mapping[str, type]:
    """The sections of the settings file that methods bring: name -> dataclass."""
    return {name: kind for entry in known().values() for name, kind in entry.tables.items()}


@cache
def loaded() -> tuple[Mapping[str, Any], Mapping[str, Family], tuple[Broken, ...]]:
    """The methods by family, what each says of itself, and what cannot be loaded."""
    built_in = importlib.import_module(GROUP).BUILT_IN
    by_family: dict[str, Any] = {}
    for name in built_in:
        module, _, kind = name.partition(":")
        method = getattr(importlib.import_module(module), kind)()
        by_family[method.family] = method
    broken = []
    for entry in entries():
        try:
            method = entry.load()()
            if described(method).reads not in KINDS:
                raise ValueError(f"reads is {method.reads!r}, not one of {', '.join(KINDS)}")
            if described(method).reads == SEVERAL_SESSIONS and not hasattr(method, "session_maps"):
                raise ValueError("it reads several sessions and has no session_maps")
            if described(method).download and not hasattr(method, "downloads"):
                raise ValueError("it names a download and has no downloads")
            _check_tables(method, by_family.values())
            by_family.setdefault(method.family, method)  # one of ours cannot be replaced
        except Exception as error:  # whatever a package from elsewhere does
            broken.append(Broken(entry.name, entry.dist.name if entry.dist else entry.value, error))
    return by_family, {name: described(method) for name, method in by_family.items()}, tuple(broken)


# sections of the settings file that are ours
RESERVED = frozenset({
    "brain", "checks", "clinical", "cluster", "group", "inputs", "methods", "outputs", "qmri", "ratings",
    "registration", "run", "siena", "template", "tools",
})  # fmt: skip


def _check_tables(method: Any, others: Iterable[Any]) -> None:
    """Raise ValueError where a method's sections of the settings file cannot be told from those of others, or read."""
    known = {name: kind for other in others for name, kind in getattr(other, "tables", {}).items()}
    for name, kind in described(method).tables.items():
        outer, _, inner = name.partition(".")
        if not (name == method.family or (outer == "tools" and inner and "." not in inner)) or name in RESERVED:
            raise ValueError(f"its settings are [{name}], not [tools.NAME] or [{method.family}]")
        if known.get(name, kind) is not kind or any(k is kind and n != name for n, k in known.items()):
            raise ValueError(f"its settings [{name}] are those of another method (a class of its own is needed)")
        known[name] = kind
        if not is_dataclass(kind):
            raise ValueError(f"its settings [{name}] are no dataclass")
        kind()  # raises TypeError where a value has no default


def described(method: Any) -> Family:
    """What a method says of itself, with the defaults for the rest."""
    return Family(**{item.name: getattr(method, item.name) for item in fields(Family) if hasattr(method, item.name)})


def entries() -> list[EntryPoint]:
    """The entry points of other packages.

    Reading them through ``importlib.metadata`` alone takes longer than all of ``thalbids --help``: it is imported only
    where a package names our group.
    """
    files = (path for place in sys.path for path in Path(place or ".").glob("*-info/entry_points.txt"))
    if not any(_names_us(path) for path in files):
        return []
    from importlib.metadata import entry_points

    return list(entry_points(group=GROUP))


def _names_us(path: Path) -> bool:
    try:
        return f"[{GROUP}]" in path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
