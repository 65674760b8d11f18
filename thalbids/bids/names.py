"""The names of our results: methods, ensembles, their ``desc-`` labels and how a person reads them.

Pipeline, reports and the register of descriptions (``descriptions.tsv``) all take the names from here.
"""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = {"mindglide": "MindGlide", "synthal": "SynThal"}  # one mask per image, and ensembles of them
SINGLE_METHODS = {"freesurfer": "FreeSurfer", "first": "FSL FIRST", "dbsegment": "DBSegment"}  # on the T1w only
ENVELOPES = {"first": "FSL FIRST", **{key: name for key, name in FAMILIES.items() if key == "synthal"}}
IMAGES = ("T1w", "FLAIR", "R1map")
ENSEMBLES = (("T1w", "FLAIR"), ("T1w", "R1map"), ("R1map", "FLAIR"), ("T1w", "FLAIR", "R1map"))  # paper, 2.5.4
RULES = ("mean", "intersection", "staple")  # mean is the paper's; the others go beyond it

_SHORT = {"T1w": "T1", "FLAIR": "FLAIR", "R1map": "R1"}
_SHOWN = {"T1w": "T1w", "FLAIR": "FLAIR", "R1map": "R1"}


@dataclass(frozen=True)
class Method:
    """One way to a thalamus mask.

    Attributes
    ----------
    desc : the value of the ``desc-`` entity and of the tables' column ``method`` (``synthalT1FLAIR``)
    family : ``synthal``, ``mindglide``, ``freesurfer``, ``first`` or ``dbsegment``
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
    family : a key of ``FAMILIES`` or ``SINGLE_METHODS``
    images : one of ``IMAGES``, or the members of one of ``ENSEMBLES``
    rule : one of ``RULES``; ``staple`` needs three images
    envelope : what MindGlide's deep grey matter is cut with; FIRST, the paper's, does not show in the name

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
    images = (images,) if isinstance(images, str) else tuple(images)
    if family in SINGLE_METHODS and images == ("T1w",):
        shown = SINGLE_METHODS[family]
        return Method(family, family, images, None, shown, f"Thalamus segmented by {shown} on the T1w image.")
    if family not in FAMILIES:
        raise ValueError(f"no method {family!r} with images {images}")
    inside, cut = _envelope(family, envelope)
    shown = FAMILIES[family] + inside[1]
    if len(images) == 1 and images[0] in IMAGES:
        image = _SHOWN[images[0]]
        sentence = f"Thalamus segmented by {FAMILIES[family]} on the {image} image{cut}."
        return Method(f"{family}{images[0]}{inside[0]}", family, images, None, f"{shown} {image}", sentence)
    return _ensemble(family, images, rule, inside, cut)


def desc(family: str, images: tuple[str, ...] | str = ("T1w",), rule: str = "mean", envelope: str = "first") -> str:
    """The ``desc-`` label of a method, see `method`."""
    return method(family, images, rule, envelope).desc


def methods() -> tuple[Method, ...]:
    """Every method that has a name, in the order of tables and figures."""
    found = [method(family) for family in SINGLE_METHODS]
    for family in FAMILIES:
        for envelope in ("first", "synthal") if family == "mindglide" else ("first",):
            found += [method(family, image, envelope=envelope) for image in IMAGES]
            for rule in RULES:
                members = [images for images in ENSEMBLES if rule != "staple" or len(images) == 3]
                found += [method(family, images, rule, envelope) for images in members]
    return tuple(found)


def by_desc(desc_id: str) -> Method:
    """The method that carries this ``desc-`` label.

    Raises
    ------
    KeyError
        No method has this label.
    """
    return {item.desc: item for item in methods()}[desc_id]


def register() -> dict[str, str]:
    """Every ``desc-`` label that thalbids writes and its description, the content of ``descriptions.tsv``."""
    others = {
        "reoriented": "Image with its axes permuted and flipped to right, anterior, superior; not resampled.",
        "brain": "Brain mask.",
        "preproc": "Image registered to the T1w image and resampled to its grid.",
        "scaled": "R1 map scaled linearly to 0-1000 inside the brain mask.",
        "thalamus": "Volumes or quality measures of every thalamus mask of the session.",
        "icv": "Intracranial volume.",
        "siena": "Percentage brain volume change between two sessions.",
        "T1w": "Label map of a tool run on the T1w image.",
        "FLAIR": "Label map of a tool run on the FLAIR image.",
        "R1map": "Label map of a tool run on the R1 map.",
    }
    return {**others, **{item.desc: item.description for item in methods()}}


def _envelope(family: str, envelope: str) -> tuple[tuple[str, str], str]:
    """What an envelope adds to the desc, the label and the description."""
    if family != "mindglide":
        return ("", ""), ""
    if envelope not in ENVELOPES:
        raise ValueError(f"no envelope {envelope!r}")
    cut = f", its deep grey matter cut with the thalamus of {ENVELOPES[envelope]}"
    return (("", "") if envelope == "first" else ("InSynthal", " in SynThal")), cut


def _ensemble(family: str, images: tuple[str, ...], rule: str, inside: tuple[str, str], cut: str) -> Method:
    """The ensemble of several images of one family."""
    members = next((known for known in ENSEMBLES if sorted(known) == sorted(images)), None)
    if members is None or rule not in RULES or (rule == "staple" and len(members) < 3):
        raise ValueError(f"no {rule} ensemble of {family} on {images}")
    how = {
        "mean": "union of the two masks (mean >= 0.5)" if len(members) == 2 else "majority of the three (mean >= 0.5)",
        "intersection": "intersection of the masks",
        "staple": "STAPLE consensus of the masks",
    }[rule]
    short = (
        "".join(_SHORT[image] for image in members)
        + {"mean": "", "intersection": "Intersection", "staple": "Staple"}[rule]
    )
    shown = (
        " + ".join(_SHOWN[image] for image in members)
        + {"mean": "", "intersection": " (intersection)", "staple": " (STAPLE)"}[rule]
    )
    sentence = f"Thalamus by {FAMILIES[family]} on {', '.join(_SHOWN[i] for i in members)}{cut}: {how}."
    label = f"{FAMILIES[family]}{inside[1]} {shown}"
    return Method(f"{family}{short}{inside[0]}", family, members, rule, label, sentence)
