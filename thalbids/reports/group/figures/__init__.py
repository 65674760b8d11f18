"""Figures of the group report: each is drawn from tables, panel by panel, and written as SVG and PNG."""
