"""The names of our results: methods, ensembles, their ``desc-`` labels and how a person reads them.

Pipeline, reports and the register of descriptions (``descriptions.tsv``) all take the names from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

SINGLE_METHODS = {"freesurfer": "FreeSurfer", "first": "FSL FIRST", "dbsegment": "DBSegment"}  # on the T1w only
FAMILIES = {"mindglide": "MindGlide", "synthal": "SynThal"}  # a mask of each image, and ensembles
IMAGES = {"T1w": "T1w", "FLAIR": "FLAIR", "R1map": "R1"}  # as in file names: as shown
ENSEMBLES = (("T1w", "FLAIR"), ("T1w", "R1map"), ("R1map", "FLAIR"), ("T1w", "FLAIR", "R1map"))  # paper, 2.6.2
RULES = ("mean", "intersection", "staple")  # mean is the paper's, the others go beyond it
# What MindGlide's deep grey matter is cut with, as shown. FIRST is the paper's (2.6.2).
ENVELOPES = {"first": "FSL FIRST", "dbsegment": "DBSegment", "freesurfer": "FreeSurfer", "synthal": "SynThal"}

_MEMBERS = {"T1w": "T1", "FLAIR": "FLAIR", "R1map": "R1"}  # in the desc of an ensemble
_FAMILY = re.compile(r"[0-9A-Za-z]+")
_RULE_ENDINGS = {"mean": ("", ""), "intersection": ("Intersection", " intersection"), "staple": ("Staple", " STAPLE")}


@dataclass(frozen=True)
class Method:
    """One way to a thalamus mask.

    Attributes
    ----------
    desc : the value of the ``desc-`` entity and of the tables' column ``method`` (``synthalT1FLAIR``)
    family : ``synthal``, ``mindglide``, ``freesurfer``, ``first``, ``dbsegment``, or that of a method added by others
    images : what the mask is made from; more than one makes it an ensemble
    rule : ``mean`` (the paper's), ``intersection`` or ``staple`` for an ensemble, None for one image
    label : for figures and tables on screen
    description : one sentence, for sidecars and the register
    """

    desc: str
    family: str
    images: tuple[str, ...]
    rule: str | None
    label: str
    description: str

    @property
    def image(self) -> str:
        """The tables' column ``image``: ``T1w``, ``FLAIR``, ``R1map`` or ``ensemble``."""
        return self.images[0] if len(self.images) == 1 else "ensemble"


def method(
    family: str, images: tuple[str, ...] | str = ("T1w",), rule: str = "mean", envelope: str = "first"
) -> Method:
    """The method with this family, these images (any order) and, for an ensemble, this rule.

    Parameters
    ----------
    family : a key of ``SINGLE_METHODS`` or ``FAMILIES``, or any other family (letters and digits), shown by that name
    images : a key of ``IMAGES``, or the members of one of ``ENSEMBLES``
    rule : one of ``RULES``; ``staple`` needs three images; without meaning for one image
    envelope : for MindGlide; FIRST, the paper's, does not show in the name

    Raises
    ------
    ValueError
        There is no such method (a mistake of the caller).

    Examples
    --------
    >>> method("synthal", ("FLAIR", "T1w")).desc
    'synthalT1FLAIR'
    >>> method("mindglide", "T1w", envelope="synthal").desc
    'mindglideT1wInSynthal'
    """
    given = {images} if isinstance(images, str) else set(images)
    members = next((known for known in (*((image,) for image in IMAGES), *ENSEMBLES) if set(known) == given), None)
    if members is None or rule not in RULES or envelope not in ENVELOPES or (rule == "staple" and len(members) == 2):
        raise ValueError(f"no method {family} on {images} with {rule} and {envelope}")
    if family in SINGLE_METHODS and members == ("T1w",):
        shown = SINGLE_METHODS[family]
        return Method(family, family, members, None, shown, f"Thalamus by {shown} on the T1w image.")
    if family in SINGLE_METHODS or not _FAMILY.fullmatch(family):
        raise ValueError(f"no method {family} on {images}")
    return _family_method(family, members, rule, envelope)


def desc(family: str, images: tuple[str, ...] | str = ("T1w",), rule: str = "mean", envelope: str = "first") -> str:
    """The ``desc-`` label of a method, see `method`."""
    return method(family, images, rule, envelope).desc


def methods(others: Iterable[str] = ()) -> tuple[Method, ...]:
    """Every method of ours, and of these other families, in the order of tables and figures."""
    found = [method(family) for family in SINGLE_METHODS]
    further = [(family, "first") for family in others if family not in SINGLE_METHODS and family not in FAMILIES]
    cut = [("mindglide", envelope) for envelope in ENVELOPES]
    for family, envelope in (*cut, ("synthal", "first"), *further):
        found += [method(family, image, envelope=envelope) for image in IMAGES]
        for rule in RULES:
            ensembles = [members for members in ENSEMBLES if rule != "staple" or len(members) > 2]
            found += [method(family, members, rule, envelope) for members in ensembles]
    return tuple(found)


def by_desc(desc_id: str) -> Method:
    """The method that carries this ``desc-`` label.

    Raises
    ------
    KeyError
        No method has this label.
    """
    known = {item.desc: item for item in methods()}
    if desc_id in known:
        return known[desc_id]
    endings = sorted((item.desc.removeprefix("synthal") for item in methods() if item.family == "synthal"), key=len)
    for ending in reversed(endings):  # the longest first: T1FLAIR before FLAIR
        family = desc_id.removesuffix(ending)
        if family not in (desc_id, *SINGLE_METHODS) and _FAMILY.fullmatch(family):
            return {item.desc: item for item in methods([family])}[desc_id]
    raise KeyError(desc_id)


def register(others: Iterable[str] = ()) -> dict[str, str]:
    """Every ``desc-`` label, also of these other families, and its description: the content of ``descriptions.tsv``."""
    plain = {
        "reoriented": "Image with its axes permuted and flipped to right, anterior, superior; not resampled.",
        "brain": "Brain mask.",
        "synthalbrain": "Brain mask of SynThal, where another one is used.",
        "preproc": "Image registered to the T1w image and resampled to its grid.",
        "scaled": "R1 map rescaled linearly to 0-1000 inside the brain mask.",
        "thalamus": "Volumes, or quality measures, of every thalamus mask of the session.",
        "icv": "Intracranial volume.",
        "siena": "Percentage brain volume change between two sessions.",
        "T1w": "Label map of a tool run on the T1w image.",
        "FLAIR": "Label map of a tool run on the FLAIR image.",
        "R1map": "Label map of a tool run on the R1 map.",
    }
    return {**plain, **{item.desc: item.description for item in methods(others)}}


def _family_method(family: str, members: tuple[str, ...], rule: str, envelope: str) -> Method:
    """A method of a family: of one image, or an ensemble."""
    name = FAMILIES.get(family, family)
    cut, inside, shown_inside = "", "", ""
    if family == "mindglide":
        cut = f" (its deep grey matter inside the thalamus of {ENVELOPES[envelope]})"
        if envelope != "first":
            inside, shown_inside = f"In{envelope.capitalize()}", f" in {ENVELOPES[envelope]}"
    shown = " + ".join(IMAGES[image] for image in members)
    start = f"Thalamus by {name} on the {shown} {'image' if len(members) == 1 else 'images'}{cut}"
    label = f"{name}{shown_inside} {shown}"
    if len(members) == 1:
        return Method(f"{family}{members[0]}{inside}", family, members, None, label, f"{start}.")
    how = {
        "mean": f"mean of the masks >= 0.5, the {'union' if len(members) == 2 else 'majority'}",
        "intersection": "intersection of the masks",
        "staple": "STAPLE consensus of the masks",
    }[rule]
    ending, shown_ending = _RULE_ENDINGS[rule]
    short = "".join(_MEMBERS[image] for image in members) + ending
    return Method(f"{family}{short}{inside}", family, members, rule, label + shown_ending, f"{start}: {how}.")
