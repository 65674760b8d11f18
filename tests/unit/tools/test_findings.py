"""What the doctor says of one piece."""

from __future__ import annotations

from thalbids.tools.findings import of_check


def test_the_version_is_asked_for_only_where_the_piece_is() -> None:
    asked: list[int] = []

    def version() -> str | None:
        asked.append(1)
        return None

    good = of_check("FSL", "flirt", "", "", "/opt/fsl/bin/flirt", version, "masks", "free")
    assert (good.ok, good.version, good.where, good.licence) == (True, "version unknown", "/opt/fsl/bin/flirt", "free")
    bad = of_check("FSL", "flirt", "not there.", "Install it.", "PATH", version, "masks", "free")
    assert (bad.ok, bad.version, bad.where, bad.problem) == (False, "", "", "not there.")
    broken = of_check("FSL", "flirt", "does not start.", "", "/opt/fsl/bin/flirt (link)", version, "", "")
    assert broken.where == "/opt/fsl/bin/flirt (link)"
    assert len(asked) == 1


def test_advice_does_not_name_the_command_that_gives_it() -> None:
    def mend(advice: str) -> str:
        return of_check("FSL", "flirt", "not there.", advice, "PATH", lambda: None, "masks", "free").mend

    assert mend("Install FSL; see: thalbids doctor") == "Install FSL."
    assert mend("Install FSL (see: thalbids doctor).") == "Install FSL."
    assert mend("Install FSL.") == "Install FSL."
