"""Thalamus volumes from BIDS datasets.

``thalbids.segment(scan)`` measures one scan; ``thalbids.read_volumes(OUTPUT_DIR)`` reads the volumes of a study; the
command ``thalbids`` measures datasets. Nothing heavy is imported
before it is used, so that ``thalbids --help`` starts at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from thalbids.bids.results.tidy import read_volumes
    from thalbids.methods.synthal import segment_image as segment

__all__ = ["__version__", "read_volumes", "segment"]


def __getattr__(name: str) -> object:
    if name == "segment":
        from thalbids.methods.synthal import segment_image

        return segment_image
    if name == "read_volumes":
        from thalbids.bids.results.tidy import read_volumes

        return read_volumes
    if name == "__version__":
        return _find_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _find_version() -> str:
    """The version that the build wrote, else that of the installed package, else the mark of a bare checkout."""
    # this function must not be called _version: importing the submodule would put the module in its place
    try:
        from thalbids._version import version  # written by hatch-vcs, not in git; becomes an attribute of this package
    except ImportError:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed

        try:
            return installed("thalbids")
        except PackageNotFoundError:
            return "0+unknown"
    return str(version)
