"""What every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The first example may compile a kernel: examples are not timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The package under test is the installed one: the source tree, which `python -m pytest` puts
# first, has no compiled core, unless one was built there.
_ROOT = Path(__file__).parent.parent
if not any((_ROOT / "pyphylo").glob("_core*.so")):
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != _ROOT]

# Helpers beside the tests (strategies.py) are modules of their own under importlib mode.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not part of the project, where it is there."""
    folder = os.environ.get("PYPHYLO_SHARED_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("PYPHYLO_SHARED_DATA names no folder")
    return Path(folder)


@pytest.fixture(scope="module")
def browser():
    """A Chromium; skips where there is none."""
    from report_browser import chromium

    with chromium() as made:
        yield made


@pytest.fixture
def opened(browser, tmp_path):
    """Opens reports (`report_browser.Visits`), none of which may complain or ask for anything."""
    from report_browser import Visits

    visits = Visits(browser, tmp_path)
    yield visits
    visits.close()
    assert visits.trouble == []
