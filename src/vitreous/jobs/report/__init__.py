"""The HTML reports and the parts they are made of: drawings, pictures, panels, pages."""

from vitreous.jobs.report.page import Page
from vitreous.jobs.report.writer import render, write_page

__all__ = ["Page", "render", "write_page"]
