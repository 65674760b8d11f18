"""What SynThal was taught to call thalamus; apart from the networks, as it is read where nothing heavy is imported."""

from __future__ import annotations

PROTOCOL = "SynThal 2: manual whole-thalamus labels of the SynthSeg training maps (CMA protocol, as FreeSurfer's aseg)"
