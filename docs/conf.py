"""How Sphinx builds these pages: sphinx-build -W -b html docs build/docs."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import pyphylo

project = "pyphylo"
author = "The pyphylo developers"
project_copyright = author
version = release = pyphylo.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
templates_path = ["_templates"]

# Headings of other pages can be linked to, as they can be in a repository's viewer.
myst_heading_anchors = 3

# Notebooks are kept without outputs; the build runs them, and fails where one of them does.
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True

autosummary_generate = True
default_role = "py:obj"  # `name` in a docstring is a link where it is documented
autodoc_typehints = "none"  # numpydoc's sections say types, shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"pyphylo {release}"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"


class Commands(SphinxDirective):
    """Each command's help, from its own parser, under its name."""

    def run(self) -> list[nodes.Node]:
        """One section a command."""
        from pyphylo.cli import build_parser

        self.env.note_reread()  # what is shown is in no file that Sphinx watches
        os.environ |= {"COLUMNS": "90", "NO_COLOR": "1"}  # argparse heeds the terminal
        sections = []
        for name, parser in _parsers(build_parser()):
            section = nodes.section(ids=[nodes.make_id(name)], names=[name])
            section += nodes.title(text=name)
            section += nodes.literal_block(text=parser.format_help(), language="none")
            sections.append(section)
        return sections


def _parsers(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    """The parsers that do something, in the order of the help."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        return [(parser.prog, parser)]
    return [pair for child in inner[0].choices.values() for pair in _parsers(child)]


def _as_repository(app: Sphinx, docname: str, source: list[str]) -> None:
    """Pages name each other's files, and files above them, as they lie in the repository."""
    if (Path(app.srcdir) / f"{docname}.md").exists():
        source[0] = re.sub(r"\[([^\]]+)\]\(\.\./[\w./-]+\)", r"`\1`", source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_directive("pyphylo-commands", Commands)
    app.connect("source-read", _as_repository)
