"""Scans that failed at the participant level: they are in no table of volumes, and nobody shall miss that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from thalbids.bids.results.derivatives import Place
from thalbids.errors import some

NAMED = 3  # sessions or images of a note


def sessions(rows: Iterable[Mapping[str, Any]], empty: Iterable[Place] = ()) -> list[str]:
    """A warning about the sessions in which a method failed and none gave a volume.

    Parameters
    ----------
    rows : of the volume tables: participant_id, session_id, status, reason
    empty : sessions that have a folder and nothing in it

    Examples
    --------
    >>> rows = [{"participant_id": "sub-1", "session_id": "", "status": "failed", "reason": "T1w: cut off."}]
    >>> sessions([*rows, {"participant_id": "sub-2", "session_id": "", "status": "ok", "reason": ""}])
    ['warning: 1 of 2 sessions has no volume, as it failed at the participant level: sub-1 (T1w: cut off).']
    """
    endings: dict[tuple[str, str], dict[str, str]] = {}  # of each session, with the first reason
    for row in rows:
        of_session = endings.setdefault((row["participant_id"], row["session_id"]), {})
        of_session.setdefault(row["status"], str(row["reason"]))
    for place in empty:
        endings[place.participant_id, place.session_id] = {"failed": f"no results, see {place.participant_id}.html"}
    without = {
        key: told["failed"] for key, told in endings.items() if "failed" in told and not {"ok", "excluded"} & set(told)
    }
    if not without:
        return []
    have = "has no volume, as it" if len(without) == 1 else "have no volume, as they"
    named = some([_told(*key, why) for key, why in without.items()], NAMED)
    return [f"warning: {len(without)} of {len(endings)} sessions {have} failed at the participant level: {named}."]


def images(documents: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[str]:
    """A warning about images that could not be used beside one that could, by the QC documents of the sessions."""
    failed = [
        _told(person, session, str(image.get("reason", "")), name)
        for (person, session), document in documents.items()
        for name, image in document.get("Images", {}).items()
        if image.get("status") == "failed" and name != document.get("Reference", "T1w")
    ]
    count = f"{len(failed)} image{'s' if len(failed) > 1 else ''}"
    return [f"warning: {count} could not be used: {some(failed, NAMED)}."] if failed else []


def _told(person: str, session: str, why: str, image: str = "") -> str:
    name = " ".join(filter(None, ["_".join(filter(None, [person, session])), image]))
    return f"{name} ({why.rstrip('.')})" if why else name
