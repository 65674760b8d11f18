"""Segmentation methods, the registry that finds them, and ensembles of their masks.

A method is a file in this folder and a line here; the order is that of tables and figures. Modules named here are read
by ``thalbids --help`` too: they import what is heavy (numpy, nibabel, tools) only where it is used.
"""

BUILT_IN = (
    "thalbids.methods.freesurfer:FreeSurfer",
    "thalbids.methods.freesurfer_long:FreeSurferLong",
    "thalbids.methods.first:First",
    "thalbids.methods.dbsegment:DBSegment",
    "thalbids.methods.mindglide:MindGlide",
    "thalbids.methods.whole_brain.samseg:Samseg",
    "thalbids.methods.whole_brain.samseg_images:WithFlair",
    "thalbids.methods.whole_brain.samseg_images:WithR1",
    "thalbids.methods.whole_brain.samseg_images:WithFlairAndR1",
    "thalbids.methods.whole_brain.samseg_images:WithT2",
    "thalbids.methods.whole_brain.samseg_long:SamsegLong",
    "thalbids.methods.whole_brain.fastsurfer:FastSurfer",
    "thalbids.methods.whole_brain.synthseg:SynthSeg",
    "thalbids.methods.whole_brain.thomas:Thomas",
    "thalbids.methods.embedded:SynThal",
)
