"""The names of our results: methods, ensembles, their ``desc-`` labels and how a person reads them.

Pipeline, reports and the register of descriptions (``descriptions.tsv``) all take the names from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from thalbids import families
from thalbids.families import ONE_IMAGE, Family

IMAGES = {"T1w": "T1w", "FLAIR": "FLAIR", "R1map": "R1", "T2w": "T2w", "UNIT1": "UNIT1"}  # in file names: as shown
ENSEMBLES = (("T1w", "FLAIR"), ("T1w", "R1map"), ("R1map", "FLAIR"), ("T1w", "FLAIR", "R1map"))  # paper, 2.6.2
REGISTERED = "_registration"  # ends the name of a method whose change was measured by registration
RULES = ("mean", "intersection", "staple")  # mean is the paper's, the others go beyond it

_MEMBERS = {"T1w": "T1", "FLAIR": "FLAIR", "R1map": "R1"}  # in the desc of an ensemble
_FAMILY = re.compile(r"[0-9A-Za-z]+")
_RULE_ENDINGS = {"mean": ("", ""), "intersection": ("Intersection", " intersection"), "staple": ("Staple", " STAPLE")}


@dataclass(frozen=True)
class MaskKind:
    """One way to a thalamus mask: a family on an image, on several together, or an ensemble of its masks.

    Attributes
    ----------
    desc : the value of the ``desc-`` entity and of the tables' column ``method`` (``synthalT1FLAIR``)
    family : that of a method of :mod:`thalbids.families`, or one that is not installed here
    images : what the mask is made from
    rule : ``mean`` (the paper's), ``intersection`` or ``staple`` for an ensemble, None for every other mask
    label : for figures and tables on screen
    description : one sentence, for sidecars and the register
    envelope : the ``desc-`` label of the mask that cuts this one; "" when none does
    """

    desc: str
    family: str
    images: tuple[str, ...]
    rule: str | None
    label: str
    description: str
    envelope: str = ""

    @property
    def image(self) -> str:
        """The tables' column ``image``: a key of ``IMAGES``, ``several`` or ``ensemble``."""
        if self.rule is not None:
            return "ensemble"
        return self.images[0] if len(self.images) == 1 else "several"


def method(family: str, images: tuple[str, ...] | str = ("T1w",), rule: str = "mean", envelope: str = "") -> MaskKind:
    """The mask with this family, these images (any order) and, for an ensemble, this rule.

    Parameters
    ----------
    family : a family of ours, or any other (letters and digits), shown by that name
    images : a key of ``IMAGES``, or the members of one of ``ENSEMBLES``; without meaning where a family reads several
        images or sessions together, which has one mask a session
    rule : one of ``RULES``; ``staple`` needs three images; without meaning for one image
    envelope : the family whose thalamus cuts this mask; the default one does not show in the name

    Raises
    ------
    ValueError
        There is no such mask (a mistake of the caller).

    Examples
    --------
    >>> method("synthal", ("FLAIR", "T1w")).desc
    'synthalT1FLAIR'
    >>> method("mindglide", "T1w", envelope="synthal").desc
    'mindglideT1wInSynthal'
    """
    entry = families.of(family)
    given = {images} if isinstance(images, str) else set(images)
    if entry.reads != ONE_IMAGE and given == set(entry.images):
        return _together(entry)
    members = next((known for known in (*((image,) for image in IMAGES), *ENSEMBLES) if set(known) == given), None)
    known_envelope = envelope in ("", *(families.envelopes() if entry.cut_with else ()))
    if members is None or rule not in RULES or not known_envelope or (rule == "staple" and len(members) == 2):
        raise ValueError(f"no method {family} on {images} with {rule} and {envelope}")
    if entry.reads != ONE_IMAGE:
        return _together(entry)
    if (entry.single and members != ("T1w",)) or not _FAMILY.fullmatch(family):
        raise ValueError(f"no method {family} on {images}")
    if entry.single:
        return MaskKind(family, family, members, None, entry.label, f"Thalamus by {entry.label} on the T1w image.")
    return _of_images(entry, members, rule, envelope or entry.cut_with)


def desc(family: str, images: tuple[str, ...] | str = ("T1w",), rule: str = "mean", envelope: str = "") -> str:
    """The ``desc-`` label of a mask, see `method`."""
    return method(family, images, rule, envelope).desc


def methods(others: Iterable[str] = ()) -> tuple[MaskKind, ...]:
    """Every mask of the families that are known here, and of these others, in the order of tables and figures."""
    entries = sorted(families.known().values(), key=lambda entry: not _one_a_session(entry))
    further = [Family(family) for family in others if family not in families.known()]
    return tuple(kind for entry in (*entries, *further) for kind in _every_kind(entry))


def by_desc(desc_id: str) -> MaskKind:
    """The mask that carries this ``desc-`` label; that of a change by registration is the method's own, named so.

    Raises
    ------
    KeyError
        No mask has this label.

    Examples
    --------
    >>> by_desc("synthalT1w_registration").label
    'SynThal T1w, registration'
    """
    if desc_id.endswith(REGISTERED):
        mask = by_desc(mask_of(desc_id))
        told = f"Change by registration, at the border of: {mask.description}"
        return replace(mask, desc=desc_id, label=f"{mask.label}, registration", description=told)
    known = _known().get(desc_id)
    if known is not None:
        return known
    endings = (kind.desc.removeprefix("x") for kind in _every_kind(Family("x")))
    for ending in sorted(endings, key=len, reverse=True):  # the longest first: T1FLAIR before FLAIR
        family = desc_id.removesuffix(ending)
        if family != desc_id and _FAMILY.fullmatch(family) and not _one_a_session(families.of(family)):
            return {kind.desc: kind for kind in methods([family])}[desc_id]
    raise KeyError(desc_id)


def registered(desc_id: str) -> str:
    """The name under which the group level takes a method's change by registration like a method."""
    return desc_id + REGISTERED


def mask_of(desc_id: str) -> str:
    """The method whose mask a change by registration follows; any other name as it is."""
    return desc_id.removesuffix(REGISTERED)


def ordered(descs: Iterable[str]) -> list[str]:
    """Each ``desc-`` label once, in the order of all our tables; others after them, by name; registration last."""
    places = {desc: place for place, desc in enumerate(_known())}

    def place(desc: str) -> tuple[bool, int, str]:
        return desc.endswith(REGISTERED), places.get(mask_of(desc), len(places)), desc

    return sorted(dict.fromkeys(descs), key=place)


@cache
def _known() -> dict[str, MaskKind]:
    return {kind.desc: kind for kind in methods()}


def _one_a_session(entry: Family) -> bool:
    """Whether a session gets one mask of this family, named by the family alone."""
    return entry.single or entry.reads != ONE_IMAGE


def _every_kind(entry: Family) -> list[MaskKind]:
    """The masks of a family: one, or one of each image and their ensembles, by each envelope.

    Of a family that is not installed here it is not known which images it reads: all.
    """
    if _one_a_session(entry):
        return [method(entry.family)]
    known = entry.family in families.known()
    images = [image for image in IMAGES if not known or image in entry.images]
    kinds = []
    for envelope in families.envelopes() if entry.cut_with else ("",):
        kinds += [_of_images(entry, (image,), "mean", envelope) for image in images]
        for rule in RULES:
            ensembles = [members for members in ENSEMBLES if rule != "staple" or len(members) > 2]
            ensembles = [members for members in ensembles if set(members) <= set(images)]
            kinds += [_of_images(entry, members, rule, envelope) for members in ensembles]
    return kinds


def register(others: Iterable[str] = ()) -> dict[str, str]:
    """Every ``desc-`` label, also of these other families, and its description: the content of ``descriptions.tsv``."""
    embedded = families.of(families.embedded())
    plain = {
        "reoriented": "The image that the session is measured on (its T1w where there is one), axes permuted and "
        "flipped to right, anterior, superior; not resampled.",
        "brain": "Brain mask.",
        f"{embedded.family}brain": f"Brain mask of {embedded.label}, where another one is used.",
        "preproc": "Image registered to the reference image (T1w where there is one) and resampled to its grid.",
        "scaled": "R1 map rescaled linearly to 0-1000 inside the brain mask.",
        "thalamus": "Volumes, or quality measures, of every thalamus mask of the session.",
        "icv": "Intracranial volume.",
        "siena": "Percentage brain volume change between two sessions.",
        "thalamusqmri": "Values of quantitative maps inside every thalamus mask of the session.",
        "qmri": "Quality measures of the quantitative maps of the session.",
        "stderr": "Standard errors of a map that was fitted.",
        "unringed": "Raw image without Gibbs ringing.",
        "T1w": "Label map of a tool run on the T1w image.",
        "FLAIR": "Label map of a tool run on the FLAIR image.",
        "R1map": "Label map of a tool run on the R1 map.",
        "T2w": "Label map of a tool run on the T2w image.",
        "UNIT1": "Label map of a tool run on the UNIT1 image.",
    }
    return {**plain, **{item.desc: item.description for item in methods(others)}}


def _together(entry: Family) -> MaskKind:
    """The mask of a family that reads several images, or several sessions, together."""
    shown = " + ".join(IMAGES.get(image, image) for image in entry.images)
    what = f"{shown} {'image' if len(entry.images) == 1 else 'images together'}"
    sessions = ", of all sessions together" if entry.reads == families.SEVERAL_SESSIONS else ""
    description = f"Thalamus by {entry.label} on the {what}{sessions}."
    return MaskKind(entry.family, entry.family, entry.images, None, entry.label, description)


def _of_images(entry: Family, members: tuple[str, ...], rule: str, envelope: str) -> MaskKind:
    """A mask of one image, or an ensemble."""
    cut, inside, shown_inside = "", "", ""
    if envelope:
        cutter = families.of(envelope)
        cut = f" ({entry.cut_words.format(cutter.label)})"
        if envelope != entry.cut_with:
            inside, shown_inside = f"In{envelope.capitalize()}", f" in {cutter.label}"
    cut_by = method(envelope).desc if envelope else ""
    shown = " + ".join(IMAGES[image] for image in members)
    start = f"Thalamus by {entry.label} on the {shown} {'image' if len(members) == 1 else 'images'}{cut}"
    label = f"{entry.label}{shown_inside} {shown}"
    if len(members) == 1:
        name = f"{entry.family}{members[0]}{inside}"
        return MaskKind(name, entry.family, members, None, label, f"{start}.", cut_by)
    how = {
        "mean": f"mean of the masks >= 0.5, the {'union' if len(members) == 2 else 'majority'}",
        "intersection": "intersection of the masks",
        "staple": "STAPLE consensus of the masks",
    }[rule]
    ending, shown_ending = _RULE_ENDINGS[rule]
    name = f"{entry.family}{''.join(_MEMBERS[image] for image in members)}{ending}{inside}"
    return MaskKind(name, entry.family, members, rule, label + shown_ending, f"{start}: {how}.", cut_by)
