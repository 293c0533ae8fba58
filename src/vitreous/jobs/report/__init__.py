"""The HTML reports and the parts they are made of: drawings, pictures, panels, pages."""

from vitreous.jobs.report.class2d import write_class2d_report
from vitreous.jobs.report.class2d_content import Examples, write_examples
from vitreous.jobs.report.page import Page
from vitreous.jobs.report.writer import render, write_page

__all__ = ["Examples", "Page", "render", "write_class2d_report", "write_examples", "write_page"]
