"""Is a result plausible? Measures of masks, brain and registrations, rules that flag them, and the QC document."""

from thalbids.qc.document import MaskInput, build, read, write

__all__ = ["MaskInput", "build", "read", "write"]
