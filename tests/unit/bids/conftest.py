"""A builder of BIDS trees."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Writes a dataset: names of empty files, and names with content (text, bytes, or an object for JSON)."""

    def build(*names: str, root: str = "raw", description: object = None, **content: object) -> Path:
        folder = tmp_path / root
        folder.mkdir(parents=True, exist_ok=True)
        described = {"Name": "test", "BIDSVersion": "1.11.1"} if description is None else description
        files: dict[str, object] = {"dataset_description.json": described, **dict.fromkeys(names, ""), **content}
        for name, value in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(value, bytes):
                path.write_bytes(value)
            elif isinstance(value, (Mapping, list)):
                path.write_text(json.dumps(value))
            else:
                path.write_text(str(value))
        return folder

    return build
