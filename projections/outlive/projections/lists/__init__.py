"""Lists of what a view holds, by any of its fields, in order of time: how kept, how asked for."""

from outlive.projections.lists.catalogue import Catalogue
from outlive.projections.lists.kept import ListedRow, Lists, when_key
from outlive.projections.lists.span import MOST, Order, check_limit, check_text, utc

__all__ = [
    "Catalogue",
    "ListedRow",
    "Lists",
    "MOST",
    "Order",
    "check_limit",
    "check_text",
    "utc",
    "when_key",
]
