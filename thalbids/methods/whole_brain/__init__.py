"""Methods that take the thalamus from labels of a whole brain with FreeSurfer's numbers."""
