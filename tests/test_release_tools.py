"""What keeps a wrong release from going out finds what is wrong."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / "tools").is_dir(), reason="not in a checkout")


def tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a version, a changelog and a citation that agree and can be released."""
    (tmp_path / "pyphylo").mkdir()
    (tmp_path / "pyphylo/_version.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.2.3] - 2027-01-31\n")
    cff = 'version: "1.2.3"\ndate-released: "2027-01-31"\n'
    (tmp_path / "CITATION.cff").write_text(cff)
    return tmp_path


class TestRelease:
    @pytest.fixture
    def wrong(self, checkout, monkeypatch):
        module = tool("check_release")
        monkeypatch.setattr(module, "ROOT", checkout)
        return lambda tag: "\n".join(module.wrong(tag))

    def test_what_agrees_is_released(self, wrong):
        assert wrong("v1.2.3") == wrong(None) == ""

    @pytest.mark.parametrize("tag", ["1.2.3", "v1.2.4", "v1.2.3rc1", ""])
    def test_the_tag_is_the_version(self, wrong, tag):
        assert "the tag is" in wrong(tag)

    def test_the_changelog_has_a_day(self, wrong, checkout):
        (checkout / "CHANGELOG.md").write_text("## [1.2.3] - unreleased\n")
        assert wrong(None) == ""
        assert "has no day" in wrong("v1.2.3")

    def test_the_first_entry_is_the_version(self, wrong, checkout):
        (checkout / "CHANGELOG.md").write_text("## [1.2.2] - 2026-01-31\n")
        assert "CHANGELOG.md begins with '[1.2.2]" in wrong(None)

    def test_the_citation_is_of_the_version(self, wrong, checkout):
        (checkout / "CITATION.cff").write_text('version: "1.2.2"\ndate-released: "2027-01-31"\n')
        assert "CITATION.cff has version '1.2.2'" in wrong(None)
        (checkout / "CITATION.cff").write_text('version: "1.2.3"\n')
        assert "date-released" in wrong("v1.2.3")

    def test_odd_versions_are_refused(self, wrong, checkout):
        (checkout / "pyphylo/_version.py").write_text('__version__ = "1.2"\n')
        assert "no semantic version" in wrong(None)


def test_this_checkout_agrees():
    done = subprocess.run([sys.executable, "tools/check_release.py"], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
class TestArtifacts:
    @pytest.fixture
    def module(self, checkout, monkeypatch):
        (checkout / "pyphylo/py.typed").touch()
        (checkout / ".ci").mkdir()
        (checkout / ".ci/run").touch()
        subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
        subprocess.run(["git", "add", "."], cwd=checkout, check=True)
        module = tool("check_artifacts")
        monkeypatch.setattr(module, "ROOT", checkout)
        return module

    def sdist(self, checkout: Path, names: list[str]) -> Path:
        path = checkout / "a.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name in names:
                archive.add(checkout / "CITATION.cff", f"pyphylo-1.2.3/{name}")
        return path

    def wheel(self, checkout: Path, names: list[str], size: int = 1) -> Path:
        path = checkout / "a.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"x" * size)
        return path

    def test_sdist(self, module, checkout):
        names = ["pyphylo/_version.py", "pyphylo/py.typed", "CHANGELOG.md", "CITATION.cff"]
        names += ["PKG-INFO"]
        assert list(module.wrong_in_sdist(self.sdist(checkout, names))) == []
        found = list(module.wrong_in_sdist(self.sdist(checkout, [*names[1:], ".ci/run", "b.o"])))
        assert found == ["lacks pyphylo/_version.py", "holds .ci/run", "holds b.o"]

    def test_wheel(self, module, checkout):
        core = "pyphylo/_core.cpython-313-x86_64-linux-gnu.so"
        names = ["pyphylo/_version.py", "pyphylo/py.typed", core]
        names += ["pyphylo/", "pyphylo.libs/msvcp140-1a2b.dll"]  # as repairing tools add
        names += [f"pyphylo-1.2.3.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL")]
        assert list(module.wrong_in_wheel(self.wheel(checkout, names))) == []
        more = [*names, "pyphylo/_core.pdb", "tests/test_a.py", core.replace("313", "312")]
        assert list(module.wrong_in_wheel(self.wheel(checkout, more[1:]))) == [
            "lacks pyphylo/_version.py",
            "holds 2 compiled cores",
            "holds pyphylo/_core.pdb",
            "holds tests/test_a.py",
        ]
        found = list(module.wrong_in_wheel(self.wheel(checkout, names, size=500_000)))
        assert len(found) == 1
        assert "3,000,000 or more" in found[0]
