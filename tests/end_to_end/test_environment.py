"""pyproject.toml, requirements.lock and environment.yml say the same; a wheel carries what the lessons need."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
PINNED = [Requirement(line.rstrip(" \\")) for line in LOCK.splitlines() if re.match(r"[a-z0-9]", line)]


def direct_requirements():
    extras = PROJECT["project"]["optional-dependencies"]
    return [Requirement(r) for r in PROJECT["project"]["dependencies"] + extras["test"] + extras["imbalance"]]


@pytest.mark.parametrize("wanted", direct_requirements(), ids=lambda r: r.name)
def test_every_requirement_is_locked_within_its_range(wanted):
    pins = [pin for pin in PINNED if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
    assert pins, f"{wanted.name} is in pyproject.toml and not in requirements.lock: make lock"
    for pin in pins:
        version = next(iter(pin.specifier)).version
        assert wanted.specifier.contains(version), f"{pin} is outside {wanted}: make lock"


def test_lock_has_exact_versions_and_hashes_and_no_addresses():
    assert all([s.operator for s in pin.specifier] == ["=="] for pin in PINNED)
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK.strip())
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in LOCK and "--index" not in LOCK and "--find-links" not in LOCK


def test_torch_and_torchvision_are_the_pair_that_belongs_together():
    versions = {pin.name: next(iter(pin.specifier)).version for pin in PINNED}
    assert (versions["torch"], versions["torchvision"]) == ("2.14.1", "0.29.1")
    assert PROJECT["tool"]["uv"]["constraint-dependencies"] == ["torch==2.14.1", "torchvision==0.29.1"]


def test_conda_installs_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(d for d in environment["dependencies"] if str(d).startswith("python="))
    assert Requirement(f"python{PROJECT['project']['requires-python']}").specifier.contains(python.split("=")[1])
    [pip] = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert pip == ["--require-hashes -r requirements.lock"]


def test_wheel_carries_lessons_profiles_sweeps_and_templates(tmp_path):
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True,
                   capture_output=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    for folder, pattern in (("notebooks", "[0-9]*.ipynb"), ("profiles", "*.yaml"), ("sweeps", "*.yaml")):
        for path in (ROOT / folder).glob(pattern):
            assert f"cnnviz_utils/course/{folder}/{path.name}" in names
    sources = [p for p in (ROOT / "cnnviz_utils").rglob("*") if p.suffix in {".py", ".j2", ".css"}]
    assert {str(p.relative_to(ROOT)) for p in sources} <= names
