"""The HTML report and the parts it is made of (drawings, pictures, page)."""

from vitreous.jobs.report.content import Examples, ReportContent, read_content, write_examples
from vitreous.jobs.report.writer import render, write_report

__all__ = ["Examples", "ReportContent", "read_content", "render", "write_examples", "write_report"]
