"""The raw dataset: its people and sessions, their images, metadata and raw acquisitions."""
