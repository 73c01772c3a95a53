"""The compiled core of a source tree.

Python started in a checkout imports the package from there, where nothing is compiled.
The core of the installed package then serves, if it is of the same version.
"""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

from pyphylo._version import __version__

__all__ = ["add_installed_core"]


def add_installed_core(package_path: list[str]) -> None:
    """Extend a package's path by the folder of its installed core, where it has none itself.

    Raises
    ------
    ImportError
        When no core is installed, or it is of another version.
    """
    if find_spec("pyphylo._core") is not None:
        return
    for entry in sys.path:
        folder = os.path.join(entry, "pyphylo")  # noqa: PTH118  (pathlib would be loaded for this)
        for suffix in EXTENSION_SUFFIXES:
            if os.path.isfile(os.path.join(folder, "_core" + suffix)):  # noqa: PTH113, PTH118
                package_path.append(folder)
                _check_version(folder)
                return
    raise ImportError(
        f"{package_path[0]} has no compiled core, and none is installed: run pip install . there"
    )


def _check_version(folder: str) -> None:
    from pyphylo import _core

    if _core.__version__ != __version__:
        raise ImportError(
            f"this source tree is pyphylo {__version__}, the core installed in {folder} is "
            f"{_core.__version__}: run pip install . again"
        )
