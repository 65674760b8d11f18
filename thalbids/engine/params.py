"""Parameters of a step as a typed record, and what of it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

# Metadata of a field. LOCAL: what the function needs to know of this run and this machine (how tools are started,
# threads), no part of the record. IF_SET: left out of the record while it is None or empty.
LOCAL: Mapping[str, str] = {"recorded": "never"}
IF_SET: Mapping[str, str] = {"recorded": "if set"}


@dataclass(frozen=True)
class Params:
    """Base of the parameter records: a frozen dataclass each, whose fields are recorded in CamelCase.

    ``kind`` says what sort of step it is.

    Examples
    --------
    >>> from dataclasses import dataclass, field
    >>> @dataclass(frozen=True)
    ... class Smoothing(Params):
    ...     kind = "smoothing"
    ...     width_mm: float
    ...     mask_uri: str = field(default="", metadata=IF_SET)
    ...     threads: int = field(default=1, metadata=LOCAL)
    >>> Smoothing(2.0).to_json()
    {'WidthMm': 2.0}
    """

    kind: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """What a result depends on, as JSON values: part of the fingerprint."""
        recorded = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            how = entry.metadata.get("recorded")
            if how != "never" and (how != "if set" or value not in (None, (), [], {}, "")):
                recorded[camel(entry.name)] = as_json(value)
        return recorded


def camel(name: str) -> str:
    """``t1w_uri`` as ``T1wUri``."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def as_json(value: Any) -> Any:
    """A value of a parameter as JSON: records by their ``to_json``, inside lists and mappings too."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value
