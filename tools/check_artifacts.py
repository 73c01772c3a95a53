"""See that what would be published holds what it should, and nothing else.

    python tools/check_artifacts.py dist/*            an sdist and wheels
    python tools/check_artifacts.py installed         the pyphylo of this Python

An sdist holds the files that git knows, but for those of continuous integration. A wheel holds the
package, its data and one compiled core, in less than 3 MB.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LARGEST_WHEEL = 3_000_000
NOT_IN_SDIST = re.compile(r"\.ci/|\.github/")
IN_PACKAGE = re.compile(
    r"pyphylo/(?:[a-z_]+/)*\w+\.py|pyphylo/py\.typed|pyphylo/_core\.pyi"
    r"|pyphylo/_core\.[\w-]+\.(?:so|pyd)|pyphylo/data/\w+(?:\.pilots)?\.jsonl?"
    r"|pyphylo/report/\w+\.(?:js|css|html)"
)
CORE = re.compile(r"pyphylo/_core\.[\w-]+\.(?:so|pyd)")
IN_METADATA = re.compile(
    r"pyphylo-[\d.]+\w*\.dist-info/(?:METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE"
    r"|sboms/[\w.-]+\.json|DELVEWHEEL)"
)
BUNDLED = re.compile(r"pyphylo\.libs/[\w.+-]+|pyphylo/\.dylibs/[\w.+-]+")
ADDED_BY_INSTALLERS = re.compile(
    r".*/__pycache__/.*|.*\.dist-info/(?:INSTALLER|REQUESTED|direct_url\.json)|.*bin/pyphylo"
    r"|.*Scripts/pyphylo\.exe"
)


def tracked() -> set[str]:
    """The files that git knows."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return set(text.split("\0")[:-1])


def wrong_in_sdist(path: Path) -> Iterator[str]:
    """What an sdist lacks or should not hold."""
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    wanted = {name for name in tracked() if not NOT_IN_SDIST.match(name)} | {"PKG-INFO"}
    yield from (f"lacks {name}" for name in sorted(wanted - names))
    yield from (f"holds {name}" for name in sorted(names - wanted))


def wrong_in_package(names: Iterable[str]) -> Iterator[str]:
    """What an installed package or a wheel lacks or should not hold."""
    found = set(names)
    package = {name for name in tracked() if name.startswith("pyphylo/")}
    yield from (f"lacks {name}" for name in sorted(package - found))
    cores = [name for name in found if CORE.fullmatch(name)]
    if len(cores) != 1:
        yield f"holds {len(cores)} compiled cores"
    for name in sorted(found - package - set(cores)):
        if not IN_METADATA.fullmatch(name) and not BUNDLED.fullmatch(name):
            yield f"holds {name}"
    yield from (f"is of no known kind: {n}" for n in sorted(package) if not IN_PACKAGE.fullmatch(n))


def wrong_in_wheel(path: Path) -> Iterator[str]:
    """As `wrong_in_package`, and how large a wheel is."""
    size = path.stat().st_size
    if size >= LARGEST_WHEEL:
        yield f"has {size:,} bytes, {LARGEST_WHEEL:,} or more"
    with zipfile.ZipFile(path) as archive:
        files = [name for name in archive.namelist() if not name.endswith("/")]
    yield from wrong_in_package(files)


def wrong_in_installed() -> Iterator[str]:
    """As `wrong_in_package`, of what pip installed into this Python."""
    names = {str(file).replace("\\", "/") for file in distribution("pyphylo").files or ()}
    kept = {name for name in names if not ADDED_BY_INSTALLERS.fullmatch(name)}
    yield from wrong_in_package(kept)


def main() -> int:
    """0 where nothing is wrong."""
    status = 0
    for name in sys.argv[1:] or ["installed"]:
        if name == "installed":
            wrong = list(wrong_in_installed())
        else:
            path = Path(name)
            wrong = list((wrong_in_wheel if path.suffix == ".whl" else wrong_in_sdist)(path))
        print(f"{name}: {'; '.join(wrong) or 'whole, and nothing else'}")
        status |= bool(wrong)
    return status


if __name__ == "__main__":
    sys.exit(main())
