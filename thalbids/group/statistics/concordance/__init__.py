"""How far measures of the same thing agree: volumes, voxels, raters, repeated scans."""
