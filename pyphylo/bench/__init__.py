"""Measurements behind ``pyphylo bench``: one module a kernel family."""
