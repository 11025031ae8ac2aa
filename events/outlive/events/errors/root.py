"""The root of the tree."""

from __future__ import annotations


class OutliveError(Exception):
    """The root of all errors that Outlive raises."""
