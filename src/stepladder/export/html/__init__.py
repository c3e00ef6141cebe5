"""A page that reads what is drawn on it: one file that asks for nothing, with networks in it as data and as plain JavaScript."""

from stepladder.export.html.page import page, programs
from stepladder.export.html.placing import Placing, placing

__all__ = ["Placing", "page", "placing", "programs"]
