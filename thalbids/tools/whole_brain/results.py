"""Folders of results that programs leave, one a session: ``sub-X_ses-Y`` or ``sub-X`` in a folder of the study."""

from __future__ import annotations

from pathlib import Path


def folder_of(root: Path, subject: str, session: str | None, *, only_session: bool = True) -> Path | None:
    """The folder of a session; None when there is none.

    ``sub-X_ses-Y`` or ``sub-X/ses-Y`` first, then ``sub-X``, but that only when X has no other session: it could be of
    any.

    Parameters
    ----------
    subject, session : labels without ``sub-`` and ``ses-``
    only_session : the subject has no other session
    """
    places = [root / f"sub-{subject}_ses-{session}", root / f"sub-{subject}" / f"ses-{session}"] if session else []
    places += [root / f"sub-{subject}"] if only_session or not session else []
    return next((place for place in places if place.is_dir()), None)
