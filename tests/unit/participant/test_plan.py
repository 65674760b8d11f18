"""The plan of a session for every mixture of images, and how its table rows end."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.unit.participant.planning import Fixed, no_weights  # noqa: F401
from thalbids.engine.fingerprint import Digests, fingerprint
from thalbids.engine.params import as_json
from thalbids.engine.step import Step, StepResult, check_plan, in_order
from thalbids.methods.dbsegment import DBSegment
from thalbids.methods.first import First
from thalbids.methods.freesurfer import FreeSurfer
from thalbids.methods.mindglide import MindGlide
from thalbids.participant import plan as plans
from thalbids.participant.session import SessionPlan
from thalbids.participant.stages.session import masks, measures
from thalbids.participant.step_io import refuse
from thalbids.raters import effect
from thalbids.raters.ratings import Item, RatersVerdict
from thalbids.settings import load
from thalbids.types import InputImage, Session

OUT = Path("/out")


def planned_session(one: Session, out: Path, methods: Any, *given: Any) -> SessionPlan:
    return plans.end_session(plans.begin_session(one, out, methods, *given), methods)


def planned_steps(*given: Any, **named: Any) -> list[Step]:
    return plans.steps_of(plans.plan(*given, **named))


MIXTURES = [("T1w", *extra) for n in range(3) for extra in combinations(("FLAIR", "R1map"), n)]


def session(images: tuple[str, ...], name: str | None = "1") -> Session:
    found = {i: InputImage(Path(f"/raw/{i}.nii.gz"), f"bids:raw:{i}.nii.gz", i) for i in images}
    return Session("01", name, found)


@pytest.mark.parametrize("images", MIXTURES)
@pytest.mark.parametrize("extra", [(), ("intersection", "staple")])
def test_every_mixture_gives_a_plan_that_the_engine_accepts(images: tuple[str, ...], extra: tuple[str, ...]) -> None:
    settings = load(None, {"methods": {"extra_ensembles": extra}})
    planned = planned_steps([session(images), session(images, "2")], OUT, (Fixed(),), settings)
    check_plan(planned)
    made = {s.name.removeprefix("sub-01_ses-1 ") for s in planned if s.session == "sub-01_ses-1"}
    assert {f"synthal{i}" for i in images} <= made
    assert ("synthalT1FLAIR" in made) == ("FLAIR" in images)
    assert ("synthalT1FLAIRR1" in made) == (len(images) == 3)
    assert ("synthalT1FLAIRR1Staple" in made) == (len(images) == 3 and bool(extra))


@pytest.mark.parametrize("images", MIXTURES)
def test_the_table_has_a_row_for_every_mask_made_or_not(images: tuple[str, ...]) -> None:
    made = planned_session(session(images), OUT, (Fixed(),), load(None, {}))
    assert [e.desc for e in made.masks] == [
        "synthalT1w", "synthalFLAIR", "synthalR1map",
        "synthalT1FLAIR", "synthalT1R1", "synthalR1FLAIR", "synthalT1FLAIRR1",
    ]  # fmt: skip
    for entry in made.masks:
        assert (entry.step is None) == (not set(entry.images) <= set(images))
        assert bool(entry.reason) == (entry.step is None)


@pytest.mark.parametrize(
    ("images", "reference", "registered"),
    [
        (("T2w", "FLAIR", "R1map"), "T2w", ("FLAIR", "R1map")),
        (("FLAIR", "R1map"), "FLAIR", ("R1map",)),
        (("UNIT1", "FLAIR", "T2w"), "UNIT1", ("FLAIR", "T2w")),
        (("T1w", "T2w"), "T1w", ("T2w",)),
    ],
)
def test_without_a_t1w_everything_lies_on_the_next_image(
    images: tuple[str, ...], reference: str, registered: tuple[str, ...]
) -> None:
    methods = (First(), Fixed(), MindGlide())
    settings = load(None, {"brain": {"source": "auto"}, "mindglide": {"envelope": "synthal"}})
    plan = planned_session(session(images), OUT, methods, settings, ("first", "synthal", "mindglide", "dbsegment"))
    check_plan(plan.steps)
    assert (plan.reference, plan.others) == (reference, registered)
    written = [path.name for step in plan.steps for path in step.outputs.values()]
    assert f"sub-01_ses-1_desc-reoriented_{reference}.nii.gz" in written
    spaces = {part for name in written for part in name.split("_") if part.startswith(("space-", "to-"))}
    assert spaces == {f"space-{reference}", f"to-{reference}"}
    made = {mask.desc: mask for mask in plan.masks if mask.step is not None}
    assert {f"synthal{image}" for image in images} <= made.keys()
    assert ("mindglideFLAIRInSynthal" in made) == ("FLAIR" in images)  # cut by SynThal on the reference
    reasons = {mask.desc: mask.reason for mask in plan.masks if mask.step is None}
    if reference != "T1w":
        assert reasons["first"] == reasons["synthalT1w"] == "the session has no T1w image"
        assert plan.brain_source == "synthal"
        assert {"item": "T1w", "reason": "the session has no T1w image"} in plan.missing
    assert not {"synthalT2w", "synthalUNIT1"} & reasons.keys()  # their absence is no missing mask


def test_visits_with_other_reference_images_are_planned_together() -> None:
    sessions = [session(("T1w", "FLAIR")), session(("FLAIR",), "2"), session(("T2w", "FLAIR"), "3")]
    planned = planned_steps(sessions, OUT, (Fixed(),), load(None, {}))
    check_plan(planned)
    measured = next(step for step in planned if step.name == "sub-01_ses-3 measures")
    assert isinstance(measured.params, measures.MeasuresParams)
    assert next(iter(measured.params.images)) == "T2w"
    assert [(visit.session, sorted(visit.masks)) for visit in measured.params.visits] == [
        ("3", []), ("1", ["synthalFLAIR", "synthalT1FLAIR", "synthalT1w"]), ("2", ["synthalFLAIR"]),
    ]  # fmt: skip
    names = {path.name for step in planned for path in step.outputs.values()}
    assert "sub-01_ses-2_from-FLAIR_to-firstT1w_mode-image_xfm.json" in names


def test_how_a_map_was_estimated_is_handed_on() -> None:
    one = session(("T1w", "R1map"))
    one.images["R1map"].metadata["EstimationAlgorithm"] = "MP2RAGE"
    made = planned_session(one, OUT, (Fixed(),), load(None, {}))
    params = {step.name.split(" ", 1)[1]: step.params for step in made.steps}
    recorded = params["register R1map"].to_json()
    assert recorded["EstimationAlgorithm"] == "MP2RAGE"
    assert "EstimationReference" not in recorded


def test_a_session_without_t1w_has_one_step_that_says_so() -> None:
    planned = planned_steps([Session("01", None, {}, problem="no T1w here.")], OUT, (Fixed(),), load(None, {}))
    assert [s.kind for s in planned] == ["refusal", "page"]
    with pytest.raises(Exception, match="no T1w here"):
        refuse({}, {}, planned[0].params, {})


SOURCES = ("auto", "synthal", "dbsegment", "freesurfer", "given")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("envelope", ["first", "dbsegment", "freesurfer", "synthal"])
def test_all_methods_with_any_brain_mask_and_envelope(source: str, envelope: str, tmp_path: Path) -> None:
    tree: dict[str, Any] = {"brain": {"source": source}, "mindglide": {"envelope": envelope}}
    tree["inputs"] = {"derivatives": {"brain": str(tmp_path)}}
    settings = load(None, tree)
    every = (FreeSurfer(), First(), DBSegment(), MindGlide(), Fixed())
    planned = planned_steps([session(MIXTURES[-1])], OUT, every, settings)
    check_plan(planned)
    made = {s.name.removeprefix("sub-01_ses-1 "): s for s in planned}
    ending = "" if envelope == "first" else f"In{envelope.capitalize()}"
    cut = made[f"mindglideT1w{ending}"]
    labels, outer = made["mindglide label maps"], f"sub-01_ses-1 {'synthalT1w' if envelope == 'synthal' else envelope}"
    assert labels.needs[0] == "sub-01_ses-1 anatomy" and outer in labels.needs  # labels are made near the envelope
    assert labels.inputs[f"mask {envelope}"] == made[outer.partition(" ")[2]].outputs["dseg"]
    upstream = load(None, {**tree, "tools": {"mindglide": {"engine": "upstream"}}})
    for step in planned_steps([session(MIXTURES[-1])], OUT, every, upstream):
        assert not (step.name.endswith("mindglide label maps") and {outer} & set(step.needs))
    assert outer in cut.needs
    assert len([s for s in planned if s.kind == "label maps"]) == 3  # each tool once a session
    whole = planned_session(session(MIXTURES[-1]), OUT, every, settings)
    assert whole.brain_source == ("dbsegment" if source == "auto" else source)
    assert ("brain" in made) == (source != "synthal")
    if source == "given":  # the folder holds none: that is said, and nothing replaces it
        assert made["brain"].kind == "refusal"
    assert made["scale R1map"].needs[-1] == whole.brain_step
    assert whole.brain_step not in made["synthalT1w"].needs or source == "synthal"


def test_memory_grows_with_the_image(tmp_path: Path) -> None:
    import nibabel as nib
    import numpy as np

    def planned(shape: tuple[int, int, int]) -> float:
        path = tmp_path / "t1.nii"
        header = nib.Nifti1Header()
        header.set_data_shape(shape)
        header.set_data_dtype(np.uint8)
        with path.open("wb") as stream:
            header.write_to(stream)
            stream.truncate(352 + int(np.prod(shape)))  # as long as with its voxels, which nobody reads
        images = {"T1w": InputImage(path, "bids:raw:t1.nii", "T1w")}
        made = planned_session(Session("01", None, images), OUT, (Fixed(),), load(None, {}))
        return next(s.memory_gb for s in made.steps if s.name.endswith("anatomy"))

    assert planned((256, 256, 256)) == 1.5
    assert planned((512, 512, 512)) == pytest.approx(1.5 + 60 * (512**3 - 256**3) / 1e9)


def test_nprocs_and_other_settings_without_effect_change_no_fingerprint_material() -> None:
    one, two = (
        planned_steps([session(MIXTURES[-1])], OUT, (Fixed(),), load(None, {"run": {"nprocs": n}})) for n in (1, 2)
    )
    assert [s.params.to_json() for s in one] == [s.params.to_json() for s in two]


def test_a_step_that_looks_at_several_sessions_goes_before_what_waits_for_it() -> None:
    def step(name: str, *after: str) -> Step:
        return Step(name, "s", masks.segment, {}, {"x": Path(name)}, after=after)

    steps = [step("a"), step("table a", "both"), step("b"), step("table b", "both"), step("both", "a", "b")]
    assert [s.name for s in in_order(steps)] == ["a", "b", "both", "table a", "table b"]
    assert in_order(steps[:1] + steps[2:3]) == steps[:1] + steps[2:3]
    with pytest.raises(ValueError, match="does not come"):
        in_order(steps[:2])


def test_a_rating_changes_the_steps_that_it_is_about_and_no_other() -> None:
    def verdict(kind: str, target: str, strategy: str = "", name: str = "sub-01") -> RatersVerdict:
        item = Item("1", "", kind, name, "ses-1", target, strategy, "x.nii.gz", "0" * 64, "0" * 64)
        return RatersVerdict(item, True, "failed by rater AB")

    steps = planned_steps([session(MIXTURES[-1])], OUT, (Fixed(),), load(None, {}))
    verdicts = [verdict("registration", "FLAIR", "ants"), verdict("mask", "synthalT1w")]
    verdicts.append(verdict("mask", "synthalT1w", name="sub-02"))
    rated = plans.rated(steps, effect.by_session(verdicts))
    changed = {new.name: new for old, new in zip(steps, rated, strict=True) if old != new}
    entry = {"Sha256": "0" * 64, "Reason": "failed by rater AB"}
    assert changed.keys() == {"sub-01_ses-1 register FLAIR", "sub-01_ses-1 measures"}
    recorded = {name.split(" ", 1)[1]: as_json(step.params) for name, step in changed.items()}
    assert recorded["register FLAIR"]["Rejected"] == [{"Strategy": "ants", **entry}]
    assert recorded["measures"]["Rated"] == {"synthalT1w": [entry]}


class Names(Digests):
    """Every file there, its name in place of its content."""

    def get(self, path: Path) -> str:
        return str(path)


def fingerprints(asked: list[Session], every: list[Session], out: Path) -> dict[str, str]:
    """What each step of a run depends on when all before it ends well, by its name without the person's."""
    steps = planned_steps(asked, out, (Fixed(),), load(None, {}), every=every)
    prints = {}
    for step in steps:
        ends = {name: StepResult(name, "ok") for name in (*step.needs, *step.after)}
        prints[step.name.removeprefix("sub-01_").removeprefix("sub-01 ")] = fingerprint(step, out, Names(), {}, ends)
    return prints


@pytest.fixture
def finished_visits(tmp_path: Path) -> list[Session]:
    visits = [session(("T1w", "FLAIR"), label) for label in "123"]
    for plan in (planned_session(visit, tmp_path, (Fixed(),), load(None, {})) for visit in visits):
        plan.qc.parent.mkdir(parents=True)
        plan.qc.touch()
        plan.t1w.touch()
    return visits


def test_a_visit_that_goes_leaves_what_does_not_read_it_finished(
    finished_visits: list[Session], tmp_path: Path
) -> None:
    """The quality control of each visit looks at all of them, and the person's table and page show them."""
    first, _, third = finished_visits
    whole = fingerprints(finished_visits, finished_visits, tmp_path)
    fewer = fingerprints([first, third], [first, third], tmp_path)
    again = {name for name in fewer if fewer[name] != whole[name]}
    assert again == {"ses-1 measures", "ses-3 measures", "change", "report"}
    assert {"ses-3 align with first session", "change ses-1 to ses-3", "ses-3 synthalT1w"} <= set(fewer)


@pytest.mark.parametrize("place", range(3))
def test_a_run_on_one_visit_finds_the_steps_of_a_run_on_all_finished(
    place: int, finished_visits: list[Session], tmp_path: Path
) -> None:
    whole = fingerprints(finished_visits, finished_visits, tmp_path)
    one = fingerprints([finished_visits[place]], finished_visits, tmp_path)
    assert {name for name in one if one[name] != whole[name]} == {"report"}
    assert {"change ses-1 to ses-2", "change ses-2 to ses-3"} <= set(one)
