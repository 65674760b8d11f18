"""Programs that label a whole brain with FreeSurfer's numbers, and how their results are found."""
