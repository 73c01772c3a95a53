"""One HTML file that shows a tree, its distances and its models, and asks nothing of a network."""

from pyphylo.report._write import report_html, write_report

__all__ = ["report_html", "write_report"]
