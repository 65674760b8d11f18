"""What really ran: facts for the methods paragraph, from QC documents, sidecars and tables, not from plans."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import thalbids
from thalbids import families
from thalbids.bids.results import names
from thalbids.bids.results.documents import read_document
from thalbids.errors import MetadataError
from thalbids.files import names_in, read_json, read_table
from thalbids.reports import boilerplate
from thalbids.reports.boilerplate import Paragraphs
from thalbids.reports.group.figures import clinical, look
from thalbids.reports.group.group_data import Tables, in_order, listed, mean_sd, rows_of

if TYPE_CHECKING:
    import pandas as pd

Found = dict[str, dict[str, Any]]
PROGRAMS = ("numpy", "scipy", "pandas", "statsmodels", "pingouin", "matplotlib")
STRATEGIES = ("mattes", "mattes-centre", "ants", "ants-centre", "fsl-mi", "fsl-nc", "fsl-flair")
R1_ALGORITHMS = {  # what EstimationAlgorithm, a field of BIDS, must name
    "r1-mp2rage": re.compile(r"\bMP2RAGE\b", re.IGNORECASE),
    "r1-mpm": re.compile(r"\b(rational approximation|multi-?parameter mapping|hMRI)\b", re.IGNORECASE),
    "r1-estatics": re.compile(r"\bESTATICS\b", re.IGNORECASE),
    "r1-angles": re.compile(r"^R1 from two flip angles"),
    "r1-vfa": re.compile(r"\b(DESPOT1|variable flip angles?)\b", re.IGNORECASE),
    "r1-inversion": re.compile(r"\binversion recovery\b", re.IGNORECASE),
}
R1_CONVERSIONS = {"1/T1": "r1-inverted", "R1 in": "r1-given"}  # how ``Conversion`` begins


def participant(out_dir: Path, methods: Iterable[Any] = ()) -> Paragraphs:
    """The text for the participant level of a folder of derivatives.

    Parameters
    ----------
    out_dir : the derivatives
    methods : every known method (:func:`thalbids.methods.registry.methods`), for the sentences they say of themselves
    """
    results = _results(out_dir)
    documents = []
    for path in _ending(out_dir, results, "_desc-thalamus_qc.json"):
        with suppress(MetadataError):  # a damaged one costs its session, which pages and the group level say
            documents.append(read_document(path))
    if not documents:
        return Paragraphs([])
    facts: Found = {"software": {}, "orientation": {}}
    facts |= _registrations(documents)
    facts |= _r1(_ending(out_dir, results, "_R1map.json"))
    facts |= _masks(documents, {method.family: method for method in methods})
    facts |= _tables(out_dir, results)
    return boilerplate.assemble("participant", facts, versions(out_dir, documents))


def both(out_dir: Path, methods: Iterable[Any] = (), tables: Tables | None = None) -> Paragraphs:
    """The text for what a folder of derivatives holds, of both levels; ``tables``: its tables, where they were read."""
    return boilerplate.joined(participant(out_dir, methods), group(out_dir, programs(), tables))


def _results(out_dir: Path) -> list[str]:
    """What lies in the folders ``anat`` of people and sessions, relative to the folder, sorted; each is listed once."""
    files = []
    for person in names_in(out_dir):
        if person.startswith("sub-"):
            sessions = [name for name in names_in(out_dir / person) if name.startswith("ses-")]
            for anat in (f"{person}/anat", *(f"{person}/{session}/anat" for session in sessions)):
                files += [f"{anat}/{name}" for name in names_in(out_dir / anat)]
    return sorted(files)


def _ending(out_dir: Path, results: Iterable[str], end: str) -> list[Path]:
    return [out_dir / name for name in results if name.endswith(end)]


def programs() -> dict[str, str]:
    """What computes at the group level, with versions."""
    versions_of = {"thalbids": str(thalbids.__version__), "Python": platform.python_version()}
    return versions_of | {name: version(name) for name in PROGRAMS}


def group(out_dir: Path, versions_: Mapping[str, str], tables: Tables | None = None) -> Paragraphs:
    """The text for the group level, from its tables; nothing where there are none."""
    tables = tables or Tables(out_dir)
    if not tables.names():
        return Paragraphs([])
    facts: Found = {"software": {}}
    volumes = rows_of(tables.get("volumes", ("participant_id", "method")), status="ok")
    if len(volumes):
        keys = [c for c in ("participant_id", "session_id") if c in volumes.columns]
        facts["people"] = {"n": volumes["participant_id"].nunique(), "sessions": len(volumes[keys].drop_duplicates())}
    if len(tables.get("descriptives")):
        facts["descriptives"] = {}
    return boilerplate.assemble(
        "group",
        facts
        | _measured(tables)
        | _agreement(tables)
        | _change(tables)
        | _groups(tables)
        | _models(tables)
        | _compared(tables)
        | _checked(tables)
        | _more(tables),
        versions_,
    )


def versions(out_dir: Path, documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Versions of the programs that made the results: of the records, and of ``GeneratedBy``."""
    programs_of: dict[str, str] = {}
    with suppress(MetadataError):  # missing or damaged: the next run refuses to write into such a folder
        tools = read_json(out_dir / "dataset_description.json").get("GeneratedBy")
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, Mapping) and tool.get("Name") and tool.get("Version"):
                programs_of[str(tool["Name"])] = str(tool["Version"])
    for document in documents:
        recorded = document.get("Provenance", {}).get("Versions", {})
        programs_of |= {name: str(version) for name, version in recorded.items() if name not in programs_of}
    return {"thalbids": "of an unknown version", **programs_of}


def _registrations(documents: Sequence[Mapping[str, Any]]) -> Found:
    entries = [entry for document in documents for entry in document.get("Registrations", [])]
    tried = [entry for entry in entries if entry.get("attempts")]
    if not tried:
        return {}
    facts: Found = {
        "registration": {"images": [_image(i) for i in in_order((e["image"] for e in tried), ("FLAIR", "R1map"))]}
    }
    chosen = Counter(str(entry["chosen"]) for entry in tried if entry["chosen"])
    facts |= {f"strategy-{name}": {"n": chosen[name]} for name in STRATEGIES if chosen[name]}
    others = sorted(set(chosen) - set(STRATEGIES))
    if others:
        facts["strategy-other"] = {"n": sum(chosen[name] for name in others), "names": others}
    cutoffs = {
        (a["strategy"], a["cutoff"], a.get("unit") or "") for e in tried for a in e["attempts"] if a.get("cutoff")
    }
    facts["gate"] = {"cutoffs": [f"{name}: {cutoff:g} {unit}".strip() for name, cutoff, unit in sorted(cutoffs)]}
    excluded = sum(bool(entry.get("excluded")) for entry in tried)
    return facts | ({"gate-excluded": {"n": excluded}} if excluded else {})


def _r1(sidecars: Iterable[Path]) -> Found:
    """How R1 came about, by the sidecars that our steps wrote; names of files and of subjects say nothing."""
    facts: Found = {}
    for path in sidecars:
        try:
            content = read_json(path)
        except MetadataError:
            continue
        facts |= {"scaling": {}} if "Scaling" in content else {name: {} for name in _origins(content)}
        facts |= {"r1-unringing": {}} if content.get("Unringing", "none") != "none" else {}
    return facts


def _origins(content: Mapping[str, Any]) -> list[str]:
    """The facts in the sidecar of a registered R1 map."""
    algorithm, conversion = str(content.get("EstimationAlgorithm", "")), str(content.get("Conversion", ""))
    estimated = [name for name, words in R1_ALGORITHMS.items() if words.search(algorithm)]
    converted = [name for start, name in R1_CONVERSIONS.items() if conversion.startswith(start)]
    return estimated + [name for name in converted if name == "r1-inverted" or not estimated]


def _masks(documents: Sequence[Mapping[str, Any]], registered: Mapping[str, Any]) -> Found:
    masks = [(desc, mask) for document in documents for desc, mask in document.get("Masks", {}).items()]
    measured = [(desc, mask) for desc, mask in masks if mask.get("measures")]
    if not measured:
        return {}
    known = {desc: _method(desc) for desc, _ in measured}
    families = list(dict.fromkeys(mask["family"] for _, mask in measured))
    steps = [registered[family] for family in families if family in registered]
    facts: Found = {}
    if steps:
        told = boilerplate.entries("\n".join(getattr(method, "references", "") for method in steps))
        facts["methods"] = {"sentences": boilerplate.sentences_of(steps), "references": told}
    others = [family for family in families if family not in registered]
    if others:
        facts["method-other"] = {"names": others}
    cuts = {look.envelope(desc) for desc, _ in measured} - {None}
    if cuts:
        facts["envelope"] = {"names": sorted(look.label(str(cut)) for cut in cuts)}
    facts["images"] = {"lines": _images(measured)}
    rules = {(item.rule, len(item.images)) for item in known.values() if item is not None and item.rule}
    for name, rule in (("union", ("mean", 2)), ("majority", ("mean", 3))):
        if rule in rules:
            facts[f"ensemble-{name}"] = {}
    for name in ("intersection", "staple"):
        if any(rule == name for rule, _ in rules):
            facts[f"ensemble-{name}"] = {}
    flagged = sum(not mask.get("trusted", True) for _, mask in measured)
    return facts | {"volume": {}, "quality": {"total": len(measured), "flagged": flagged}}


def _images(sidecars: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """``on T1w, FLAIR and R1 by SynThal``."""
    by_family: dict[str, list[str]] = {}
    for _, mask in sidecars:
        if len(mask.get("images", [])) == 1:
            by_family.setdefault(mask["family"], []).append(mask["images"][0])
    lines = []
    for family, images in by_family.items():
        shown = [_image(image) for image in in_order(images, tuple(names.IMAGES))]
        name = families.of(family).label
        lines.append(f"on {listed([boilerplate.quiet(s) for s in shown])} by {boilerplate.quiet(name)}")
    return lines


def _tables(out_dir: Path, results: Sequence[str]) -> Found:
    """Sources of the intracranial volume, and whether there is a PBVC, or change by registration."""
    facts: Found = {}
    for row in _rows(out_dir, results, "icv"):
        if row.get("source") in families.icv_sources():
            facts.setdefault(f"icv-{row['source']}", {})
    if any(row.get("pbvc") is not None for row in _rows(out_dir, results, "siena")):
        facts["siena"] = {}
    for row in _rows(out_dir, results, "change"):
        if (row.get("measure"), row.get("status")) == ("registration", "ok"):
            facts["change-registration"] = {}
            facts |= {"change-series": {}} if row.get("delta_percent_alone") is not None else {}
    return facts


def _rows(out_dir: Path, results: Sequence[str], desc: str) -> Iterator[dict[str, str | None]]:
    """The rows of every table of a kind; one that is damaged, or vanished since it was found, has none."""
    for path in _ending(out_dir, results, f"_desc-{desc}_morph.tsv"):
        with suppress(MetadataError):
            yield from read_table(path)


ICV = {
    "freesurfer": "FreeSurfer's estimated total intracranial volume",
    "freesurferLong": "FreeSurfer's estimated total intracranial volume of its longitudinal stream",
    "samseg": "that of SAMSEG",
    "synthseg": "that of SynthSeg",
    "synthal": "that of SynThal",
    "given": "that of the study's own tables",
}


def _measured(tables: Tables) -> Found:
    """Who was followed, and where the intracranial volume comes from."""
    facts: Found = {}
    described = tables.get("descriptives", ("variable", "diagnosis", "sample", "n", "mean", "sd"))
    described = rows_of(described, sample="followed", diagnosis="all")
    pairs = tables.get("change", ("participant_id", "delta_ml")).dropna(subset=["delta_ml"])
    if len(pairs):
        interval = rows_of(described, variable="interval_years").dropna(subset=["mean"])
        years = [mean_sd(row) for row in interval.to_dict("records")]
        facts["followed"] = {"n": pairs["participant_id"].nunique(), "years": "".join(years[:1])}
    volumes = tables.get("volumes", ("icv_ml", "icv_source")).dropna(subset=["icv_ml", "icv_source"])
    sources = list(dict.fromkeys(volumes["icv_source"]))
    if sources:
        facts["icv"] = {"names": [ICV.get(source, source) for source in sources]}
    return facts


def _groups(tables: Tables) -> Found:
    """The comparison of diagnosis groups, and norms."""
    facts: Found = {}
    table = tables.get("diagnosis_contrasts", ("difference", "adjusted_for")).dropna(subset=["difference"])
    if len(table):
        choices = settings_of(tables, "diagnosis_contrasts")
        controls = f"the controls ({choices.get('controls', '')})" if choices.get("contrasts") == "controls" else ""
        facts["groups"] = {"controls": controls, "terms": _adjusted(table)}
    norms = tables.get("normative", ("z", "adjusted_for")).dropna(subset=["z"])
    if len(norms):
        facts["norms"] = {"terms": _adjusted(norms)}
    return facts


def _adjusted(table: pd.DataFrame) -> list[str]:
    """The words of the column ``adjusted_for`` of the first row that has any."""
    cells = table["adjusted_for"].dropna()
    words = str(cells.iloc[0]).split() if len(cells) else []
    return [{"icv_ml": "intracranial volume", **COVARIATES}.get(word, word) for word in words] or ["nothing"]


def _checked(tables: Tables) -> Found:
    """What a referee asks for."""
    facts: Found = {}
    for name, table, column in (
        ("influence", "influence_models", "estimate"), ("lost", "lost", "p"),
        ("progression", "progression_models", "p"), ("baseline-adjusted", "baseline_adjusted", "estimate"),
        ("retest", "retest", "estimate"),
        ("responsiveness", "responsiveness", "srm"), ("detection", "detection", "rank"), ("brant", "ordinal", "p_po"),
    ):  # fmt: skip
        if tables.get(table, (column,))[column].notna().any():
            facts[name] = {}
    if tables.get("imputed", ("estimate",))["estimate"].notna().any():
        facts["imputed"] = {"n": settings_of(tables, "imputed").get("imputations", "several")}
    return facts


def _agreement(tables: Tables) -> Found:
    facts: Found = {}
    overlap = rows_of(tables.get("overlap", ("participant_id", "dice")), status="ok").dropna(subset=["dice"])
    if len(overlap):
        facts["overlap"] = {"n": overlap["participant_id"].nunique()}
    if tables.get("overlap_tests", ("p",))["p"].notna().any():
        how = settings_of(tables, "overlap_tests").get("wilcoxon", "")
        facts["overlap-tests"] = {"how": f" ({how} distribution)" if how else ""}
    containment = tables.get("containment", ("mean", "n")).dropna(subset=["mean"])
    if len(containment):
        sizes = (int(containment["n"].min()), int(containment["n"].max()))
        facts["containment"] = {"n": " to ".join(dict.fromkeys(str(size) for size in sizes))}
    agreement = tables.get("agreement", ("quantity", "estimate")).dropna(subset=["estimate"])
    if len(agreement):
        facts["agreement"] = {}
    if agreement["quantity"].isin(["icc_c1", "icc_a1"]).any():
        facts["icc"] = {}
    if tables.get("agreement_tests", ("p",))["p"].notna().any():
        facts["agreement-tests"] = {}
    return facts


def _change(tables: Tables) -> Found:
    facts: Found = {}
    if tables.get("change", ("delta_ml",))["delta_ml"].notna().any():
        facts["change"] = {}
    if tables.get("change_tests", ("p",))["p"].notna().any():
        facts["change-tests"] = {}
    return facts


def _models(tables: Tables) -> Found:
    facts: Found = {}
    logged: list[str] = []
    robust: list[str] = []
    families: list[str] = []
    subsets: list[str] = []
    left_out: list[str] = []
    ordinal: list[str] = []
    sizes: list[str] = []
    for name in ("crosssectional", "longitudinal"):
        table = _fitted(tables, name)
        if table.empty:
            continue
        main = rows_of(table, subset="all", sensitivity="none")
        outcomes = [clinical.outcome_name(o) for o in clinical.outcomes_in(main)]
        facts[name] = {"outcomes": outcomes, "terms": _terms(name, main)}
        left_out += _left_out(name, main)
        sizes += _sizes(name, main)
        if "levels" in main and main["levels"].astype(str).str.contains("site: ").any():
            facts["site"] = {}
        ordinal += _transformed(main, "ordinal")
        logged += _transformed(main, "log")
        robust += (
            [clinical.outcome_name(o) for o in clinical.outcomes_in(rows_of(main, cov_type="HC3"))]
            if "cov_type" in main
            else []
        )
        tested = int(main["p_fdr"].notna().sum())
        if tested:
            families.append(f"{'cross-sectional' if name == 'crosssectional' else 'longitudinal'}: {tested} tests")
        if "subset" in table.columns:
            subsets += [s for s in table["subset"].dropna().unique() if s != "all"]
        if "sensitivity" in table.columns:
            clipped = [
                clinical.VARIANTS.get(s, s).removeprefix("clipped at ")
                for s in table["sensitivity"].dropna().unique()
                if s != "none"
            ]
            facts |= {"winsor": {"names": clipped}} if clipped else {}
    for key, values, what in (
        ("log", logged, "outcomes"),
        ("hc3", robust, "outcomes"),
        ("family", families, "families"),
        ("subset", subsets, "names"),
        ("left-out", left_out, "parts"),
        ("listwise", sizes, "parts"),
        ("ordinal-outcomes", ordinal, "outcomes"),
    ):
        if values:
            facts[key] = {what: list(dict.fromkeys(values))}
    choices = settings_of(tables, "crosssectional")
    if "hc3" in facts:
        facts["hc3"]["reference"] = {"z": "normal", "t": "t"}.get(str(choices.get("HC3_reference")), "")
    without = choices.get("methods_left_out", ())
    if sizes and isinstance(without, list) and without:
        facts["not-in-models"] = {"names": [look.label(str(name)) for name in without]}
    return facts


def _sizes(name: str, main: pd.DataFrame) -> list[str]:
    """``n = 309 to 315 of the cross-sectional models``."""
    n = main["n"].dropna() if "n" in main else main.iloc[:0]
    if n.empty:
        return []
    ends = f"{n.min():.0f}" if n.min() == n.max() else f"{n.min():.0f} to {n.max():.0f}"
    return [f"n = {ends} of the {'cross-sectional' if name == 'crosssectional' else 'longitudinal'} models"]


COVARIATES = {
    "icv_z": "standardised intracranial volume",
    "steroid": "corticosteroid treatment in between",
    "interval_years": "the interval",
}
PAPER = {
    "crosssectional": ("age", "sex", "icv_z"),
    "longitudinal": ("age", "sex", "icv_z", "steroid", "interval_years"),
}


def _terms(name: str, main: pd.DataFrame) -> list[str]:
    """The right-hand side in words: what every model has; covariates of some of the models say so."""
    volume = "thalamic volume (mL)" if name == "crosssectional" else "the change of thalamic volume (mL)"
    if "formula" not in main:
        return [volume, *(COVARIATES.get(term, term) for term in PAPER[name])]  # tables of an earlier version
    models = [str(formula).split(" ~ ")[-1].split(" + ")[1:] for formula in main["formula"]]
    counts = Counter(term for model in models for term in model)
    words = {term: COVARIATES.get(term, term) for term in counts}
    return [volume, *(f"{words[t]}{'' if n == len(models) else ' (where possible)'}" for t, n in counts.items())]


def _left_out(name: str, main: pd.DataFrame) -> list[str]:
    """``corticosteroid treatment in between from 36 of 36 longitudinal models (missing for everybody)``."""
    if "left_out" not in main:
        return []
    counts = Counter(part for cell in main["left_out"].dropna() for part in str(cell).split("; "))
    kind = "cross-sectional" if name == "crosssectional" else "longitudinal"
    lines = []
    for part, n in counts.items():
        covariate, _, reason = part.partition(" (")
        lines.append(f"{COVARIATES.get(covariate, covariate)} from {n} of {len(main)} {kind} models ({reason}")
    return lines


def _transformed(main: pd.DataFrame, transform: str) -> list[str]:
    if "transform" not in main:
        return []
    return [clinical.outcome_name(o) for o in clinical.outcomes_in(rows_of(main, transform=transform))]


def _compared(tables: Tables) -> Found:
    """What was done on the people whom every method has, and about those whom a method lacks."""
    facts: Found = {}
    sample = settings_of(tables, "samples").get("sample")
    if sample == "common":
        facts["common"] = {}
    elif tables.get("samples", ("estimate",))["estimate"].notna().any():
        facts["common-beside"] = {}
    tests = tables.get("associations", ("quantity", "p")).dropna(subset=["p"])
    if len(tests):
        facts["associations"] = {"draws": settings_of(tables, "associations").get("draws", "")}
    if tables.get("missing_tests", ("p",))["p"].notna().any():
        facts["missing-tests"] = {}
    return facts


def _fitted(tables: Tables, name: str) -> pd.DataFrame:
    return clinical.volume_rows(tables, name).dropna(subset=["estimate"])


def _more(tables: Tables) -> Found:
    facts: Found = {}
    for name, table, column in (
        ("ordinal", "ordinal", "estimate"), ("pbvc", "pbvc", "r"), ("mixed", "mixed", "estimate"),
        ("samplesize", "samplesize", "n_per_arm"), ("combat", "harmonised", "volume_harmonised_ml"),
    ):  # fmt: skip
        if tables.get(table, (column,))[column].notna().any():
            facts[name] = {}
    rated = tables.get("ratings", ("item", "rater")).dropna(subset=["rater"])
    if len(rated):
        facts["rating"] = {"n": rated["item"].nunique(), "total": rated["rater"].nunique()}
    tests = tables.get("pbvc_tests", ("test", "p")).dropna(subset=["p"])
    facts |= {f"pbvc-{test}": {} for test in ("williams", "steiger") if (tests["test"] == test).any()}
    if tables.get("pbvc_tests", ("ci_low",))["ci_low"].notna().any():
        facts["pbvc-zou"] = {}
    return facts


def settings_of(tables: Tables, name: str) -> Mapping[str, Any]:
    """The choices written into the JSON beside a table."""
    path = tables.folder / f"group_{name}.json"
    try:
        content = read_json(path).get("AnalysisSettings", {}) if path.is_file() else {}
    except MetadataError:
        return {}
    return content if isinstance(content, Mapping) else {}


def _image(image: str) -> str:
    return names.IMAGES.get(image, image)


def _method(desc: str) -> names.MaskKind | None:
    try:
        return names.by_desc(desc)
    except KeyError:
        return None
