"""The stages that ANTs is told: each kind ends where it should, and begins with the rigid one."""

from __future__ import annotations

from thalbids.registration._ants_process import stages


def transforms(kind: str) -> list[str]:
    words = stages(kind, "POINTERS")
    assert all(flag.startswith("--") for flag in words[::2]) and len(words) % 2 == 0
    return [word for flag, word in zip(words[::2], words[1::2], strict=True) if flag == "--transform"]


def test_stages_follow_one_another() -> None:
    assert [t.split("[")[0] for t in transforms("rigid")] == ["Rigid"]
    assert [t.split("[")[0] for t in transforms("affine")] == ["Rigid", "Affine"]
    assert [t.split("[")[0] for t in transforms("syn")] == ["Rigid", "Affine", "SyN"]


def test_only_a_template_starts_from_the_centres_of_mass() -> None:
    assert "--initial-moving-transform" not in stages("rigid", "P")
    for kind in ("affine", "syn"):
        assert stages(kind, "P")[:2] == ["--initial-moving-transform", "[P,1]"]


def test_every_stage_has_its_metric_on_both_images() -> None:
    words = stages("syn", "POINTERS")
    metrics = [word for flag, word in zip(words[::2], words[1::2], strict=True) if flag == "--metric"]
    assert len(metrics) == 3 and all("POINTERS" in metric for metric in metrics)
