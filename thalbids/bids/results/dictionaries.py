"""Columns of the per-session tables, in order, and their data dictionaries (the JSON beside each table)."""

from __future__ import annotations

from thalbids import families
from thalbids.bids.results import names

Column = dict[str, object]

_SEVERAL = any(item.image == "several" for item in names.methods())

THALAMUS_MORPH: dict[str, Column] = {
    "method": {
        "LongName": "Segmentation method",
        "Description": "Name of the method, the same as in the desc- entity of its mask.",
        "Levels": {item.desc: item.description for item in names.methods()},
    },
    "image": {
        "LongName": "Image segmented",
        "Description": "Image that the mask was made from.",
        "Levels": {
            "T1w": "T1-weighted image",
            "FLAIR": "T2-weighted fluid-attenuated inversion recovery image",
            "R1map": "Map of the longitudinal relaxation rate R1",
            "T2w": "T2-weighted image",
            "UNIT1": "T1-weighted image of MP2RAGE",
            "ensemble": "The masks of several images combined, see method",
            **({"several": "Several images together, see method"} if _SEVERAL else {}),
        },
    },
    "volume_mm3": {
        "LongName": "Thalamus volume, left and right",
        "Description": "Number of voxels of the mask times the volume of a voxel.",
        "Units": "mm^3",
    },
    "volume_left_mm3": {
        "LongName": "Left thalamus volume",
        "Description": "Number of voxels of the left thalamus times the volume of a voxel.",
        "Units": "mm^3",
    },
    "volume_right_mm3": {
        "LongName": "Right thalamus volume",
        "Description": "Number of voxels of the right thalamus times the volume of a voxel.",
        "Units": "mm^3",
    },
    "volume_soft_mm3": {
        "LongName": "Thalamus volume from probabilities",
        "Description": "Sum of the probabilities of being thalamus times the volume of a voxel; n/a for methods that "
        "give no probabilities.",
        "Units": "mm^3",
    },
    "voxels": {
        "LongName": "Number of voxels",
        "Description": "Number of voxels of the mask on the grid of the reference image.",
    },
    "voxel_volume_mm3": {
        "LongName": "Volume of a voxel",
        "Description": "Absolute determinant of the affine of the reference image.",
        "Units": "mm^3",
    },
    "status": {
        "LongName": "Status",
        "Description": "Whether the mask exists and can be used.",
        "Levels": {
            "ok": "The mask was made and passed every check",
            "missing": "Something that the method needs (image, tool, other mask) is not there",
            "failed": "The method was run and did not give a mask",
            "excluded": "The image or the mask did not pass the quality control",
        },
    },
    "reason": {
        "LongName": "Reason",
        "Description": "Why the status is not ok, or what was flagged; n/a when there is nothing to say.",
    },
    "expected_dice": {
        "LongName": "Expected Dice",
        "Description": "Dice to expect with a mask of the same protocol, from the probabilities; n/a for methods that "
        "do not tell.",
    },
    "volume_low_mm3": {
        "LongName": "Lower bound of the volume",
        "Description": "Of the 90 % interval of what a T1w scan of the same head at 1 mm would read with the same "
        "method; n/a for methods that do not tell, and where the scan has a fault of which the interval knows nothing "
        "(blur, values cut off, one side dark ...).",
        "Units": "mm^3",
    },
    "volume_high_mm3": {
        "LongName": "Upper bound of the volume",
        "Description": "See volume_low_mm3.",
        "Units": "mm^3",
    },
    "reference": {
        "LongName": "Reference image",
        "Description": "Image on whose grid the session was measured: its T1w, or what takes its place.",
        "Levels": {
            "T1w": "T1-weighted image",
            "UNIT1": "T1-weighted image of MP2RAGE, where there is no T1w",
            "T2w": "T2-weighted image, where there is neither",
            "FLAIR": "FLAIR image, where there is none of these",
        },
    },
}

STRIPPED_NOTE = "the scan is skull-stripped: what the stripping removed inside the skull is not counted"  # note below
ICV_MORPH: dict[str, Column] = {
    "source": {
        "LongName": "Source",
        "Description": "Where the intracranial volume comes from.",
        "Levels": {
            **{name: entry.icv for name, entry in families.known().items() if entry.icv},
            "given": "Supplied by the user",
        },
    },
    "icv_mm3": {
        "LongName": "Intracranial volume",
        "Description": "Volume inside the skull: brain, cerebrospinal fluid, meninges and vessels.",
        "Units": "mm^3",
    },
    "note": {
        "LongName": "Note",
        "Description": "What to know before the volume is used; n/a when there is nothing to say.",
    },
    "status": {
        "LongName": "Status",
        "Description": "Whether the volume exists and can be used.",
        "Levels": {
            "ok": "There is a volume, and it is plausible",
            "missing": "There is none, see note",
            "excluded": "It is implausible, see note",
        },
    },
}

SIENA_MORPH: dict[str, Column] = {
    "session_id_baseline": {"LongName": "First session", "Description": "Session of the first scan."},
    "session_id_followup": {"LongName": "Second session", "Description": "Session of the second scan."},
    "pbvc": {
        "LongName": "Percentage brain volume change",
        "Description": "Change of the whole brain's volume from the first to the second session; negative is loss.",
        "Units": "%",
    },
    "source": {
        "LongName": "Source",
        "Description": "Where the value comes from.",
        "Levels": {
            "siena": "FSL's SIENA, run by thalbids",
            "directory": "A SIENA result that existed before",
            "table": "A table supplied by the user",
        },
    },
    "status": {
        "LongName": "Status",
        "Description": "Whether the value exists and can be used.",
        "Levels": {
            "ok": "There is a value, and it passed every check",
            "missing": "The given table has no value for this pair",
            "failed": "SIENA gave no value",
            "excluded": "There is a value, and it did not pass a check",
        },
    },
    "reason": {
        "LongName": "Reason",
        "Description": "Why the status is not ok, or what to look at; n/a when there is nothing to say.",
    },
}

_SHARED = "As delta_{}, of the {} thalamus."
CHANGE_MORPH: dict[str, Column] = {
    "session_id_baseline": {"LongName": "Earlier session", "Description": "Earlier of the two visits."},
    "session_id_followup": {"LongName": "Later session", "Description": "Later of the two visits."},
    "interval_years": {
        "LongName": "Interval",
        "Description": "Days between the two / 365.25; n/a where one of them has no date.",
        "Units": "year",
    },
    "method": {
        "LongName": "Method",
        "Description": "Segmentation method as in the volume tables, or the program that measured the change.",
        "Levels": {**{item.desc: item.description for item in names.methods()}, "siena": "FSL's SIENA (whole brain)"},
    },
    "measure": {
        "LongName": "Measure of change",
        "Description": "How the change was measured.",
        "Levels": {
            "volume_difference": "Difference of the volumes of the two visits, each measured by itself or, by methods "
            "that see all visits, together",
            "registration": "What moved at the border of the mask between the images of the two visits, as an affine "
            "movement of each thalamus; the later volume is the earlier one times the change",
            "pbvc": "Percentage brain volume change, whole brain",
        },
    },
    "volume_baseline_ml": {"LongName": "Earlier volume", "Description": "Left and right thalamus.", "Units": "mL"},
    "volume_followup_ml": {"LongName": "Later volume", "Description": "Left and right thalamus.", "Units": "mL"},
    "delta_ml": {"LongName": "Change", "Description": "Later minus earlier; negative is loss.", "Units": "mL"},
    "delta_percent": {"LongName": "Change in percent", "Description": "100 (later - earlier) / earlier.", "Units": "%"},
    "delta_percent_per_year": {
        "LongName": "Annualised change",
        "Description": "Change in percent divided by the interval.",
        "Units": "%/year",
    },
    "delta_percent_low": {
        "LongName": "Lower bound of delta_percent",
        "Description": "Of the 95 % interval: the change that noise of the two scans may hide or feign, see "
        "interval_source. That of uncertainty does not hold that a true change is read smaller than it is.",
        "Units": "%",
    },
    "delta_percent_high": {
        "LongName": "Upper bound of delta_percent",
        "Description": "See delta_percent_low.",
        "Units": "%",
    },
    "interval_source": {
        "LongName": "Where the interval comes from",
        "Description": "n/a where there is none; the reason is in reason.",
        "Levels": {
            "uncertainty": "The method's own uncertainty of both volumes (volume_low_mm3, volume_high_mm3)",
            "known_change": "Errors of the measure on simulated second scans of three heads; they grow with the "
            "change, and with noise and voxel size of the two scans",
        },
    },
    "delta_percent_alone": {
        "LongName": "Change in percent of this pair alone",
        "Description": "By registration, before the pairs of three and more visits were made to agree (least squares "
        "on the logarithms, so that changes along the visits add up); n/a where nothing was adjusted. Pairs without an "
        "interval take no part.",
        "Units": "%",
    },
    **{
        f"delta_{side}_{key}": {
            "LongName": f"Change of the {side}{words}",
            "Description": _SHARED.format(key, side),
            "Units": units,
        }
        for side in ("left", "right")
        for key, words, units in (
            ("ml", "", "mL"),
            ("percent", " in percent", "%"),
            ("percent_per_year", ", annualised", "%/year"),
        )
    },
    "comparable": {
        "LongName": "Comparable",
        "Description": "Whether the quality control of both visits, and the alignment of their images, find no reason "
        "against the comparison; n/a when a visit has no quality control, or no image.",
        "Levels": {"yes": "Nothing was found", "no": "See flags and remark"},
    },
    "flags": {
        "LongName": "Flags",
        "Description": "Rules of the quality control that speak against the comparison, in the order of remark.",
    },
    "remark": {"LongName": "Remark", "Description": "The flags in words, and what else asks for a look."},
    "status": {
        "LongName": "Status",
        "Description": "Whether there is a change that can be used.",
        "Levels": {
            "ok": "There is one",
            "missing": "A visit lacks the volume, or (registration) the two were not aligned with each other",
            "failed": "The method was run on a visit and gave no mask, or the registration of the pair failed",
            "excluded": "A volume, or the pair, did not pass the quality control",
        },
    },
    "reason": {
        "LongName": "Reason",
        "Description": "Why the status is not ok, or why interval or rate are not there; n/a when nothing is to say.",
    },
}

QMRI_MORPH: dict[str, Column] = {
    "method": THALAMUS_MORPH["method"],
    "map": {
        "LongName": "Quantitative map",
        "Description": "Map whose values are read inside the mask.",
        "Levels": {
            "R1map": "Longitudinal relaxation rate R1",
            "R2starmap": "Effective transverse relaxation rate R2*",
            "MTsat": "Magnetisation transfer saturation, in percent units (p.u.)",
            "PDmap": "Proton density relative to the median of brain tissue, the receive field still in it",
        },
    },
    "region": {
        "LongName": "Region",
        "Description": "Part of the mask.",
        "Levels": {
            "whole": "All voxels of the mask",
            "eroded": "Without the outermost voxels of each side (across faces), where tissues mix",
        },
    },
    "side": {
        "LongName": "Side",
        "Description": "Which thalamus.",
        "Levels": {"both": "Left and right together", "left": "The left one", "right": "The right one"},
    },
    "voxels": {"LongName": "Number of voxels", "Description": "Voxels of the region that have a value."},
    "undefined": {
        "LongName": "Undefined voxels",
        "Description": "Voxels of the region where the map is 0 or no number; they are left out.",
    },
    "mean": {"LongName": "Mean", "Description": "Mean of the map; n/a with fewer than 10 voxels. Unit: see units."},
    "median": {"LongName": "Median", "Description": "Median of the map; n/a with fewer than 10 voxels."},
    "sd": {"LongName": "Standard deviation", "Description": "Standard deviation (n - 1) of the map over voxels."},
    "units": {"LongName": "Units", "Description": "Unit of mean, median and sd."},
    "status": THALAMUS_MORPH["status"],
    "reason": {
        "LongName": "Reason",
        "Description": "Why there are no numbers, or why they are doubtful; n/a when there is nothing to say.",
    },
}

DESCRIPTIONS: dict[str, Column] = {
    "desc_id": {
        "LongName": "Label of the desc- entity",
        "Description": "The desc- entity as it stands in the names of the files of this dataset.",
    },
    "description": {
        "LongName": "Description",
        "Description": "What the files with this label hold.",
    },
}

THALAMUS_COLUMNS = tuple(THALAMUS_MORPH)
ICV_COLUMNS = tuple(ICV_MORPH)
SIENA_COLUMNS = tuple(SIENA_MORPH)
CHANGE_COLUMNS = tuple(CHANGE_MORPH)

LABEL_TABLE_COLUMNS = ("index", "name", "abbreviation", "color", "mapping")

# FreeSurfer's numbers and colour of the thalamus; mapping 9 is subcortical grey matter in BIDS' standard labels.
LABEL_TABLE: tuple[dict[str, object], ...] = (
    {"index": 10, "name": "Left-Thalamus", "abbreviation": "L-Tha", "color": "#00760E", "mapping": 9},
    {"index": 49, "name": "Right-Thalamus", "abbreviation": "R-Tha", "color": "#00760E", "mapping": 9},
)

# The same for ITK-SNAP (Segmentation, Import Label Descriptions), each side in a colour of its own so that a slip of
# the side is seen: number, red, green, blue, opacity, visible, shown in 3-D, name.
ITK_SNAP_LABELS = """\
################################################
# ITK-SnAP Label Description File
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
   10     0  158  115        1  1  1    "Left-Thalamus"
   49   230  159    0        1  1  1    "Right-Thalamus"
"""
