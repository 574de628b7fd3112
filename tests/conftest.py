"""Shared by all tests: small data sets, where the photos are, and nbval's numeric tolerance."""

import os
import shutil
import warnings
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import pytest
import torch

from cnnviz_utils.data.sets import ImageSet

ROOT = Path(__file__).resolve().parent.parent


def coloured_squares(count: int = 96, classes: int = 3, size: int = 16, seed: int = 0) -> ImageSet:
    """Images whose class is the channel of a bright square: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (count, 3, size, size), dtype=np.uint8)
    parts = np.zeros((count, size, size), np.uint8)
    labels = np.arange(count) % classes
    for i, label in enumerate(labels):
        y, x = rng.integers(0, size - 6, 2)
        images[i, label % 3, y:y + 6, x:x + 6] = 255
        parts[i, y:y + 6, x:x + 6] = 1
    return ImageSet(images, torch.tensor(labels), tuple("abc"[:classes]), parts, np.ones(count, bool))


@pytest.fixture
def squares() -> ImageSet:
    return coloured_squares()


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch, request):
    """Tests write no cache into the checkout; one for the whole run, so that data drawn once is used again."""
    if "notebooks" not in str(request.path):
        monkeypatch.setenv("CNNVIZ_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def tracker():
    """Tests of kills may take multiprocessing's helper with them: it is there again, without a warning, for the next."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resource_tracker.ensure_running()


@pytest.fixture(autouse=True)
def seeded():
    """What a test draws without a seed of its own is the same in every run and in every order of tests."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, or a skip that says what is missing."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("no chromium here to look at pages with")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of real photos, or a skip that says where they would be."""
    for place in (os.environ.get("CNNVIZ_DATA"), ROOT.parent / "shared" / "datasets"):
        if place and (Path(place) / "caltech101").is_dir():
            return Path(place)
    pytest.skip("no photos: set CNNVIZ_DATA to a folder that holds caltech101, or put it in ../shared/datasets")


def pytest_collection_modifyitems(items):
    """The long list of networks of others is checked on request only."""
    if not os.environ.get("CNNVIZ_ZOO"):
        skip = pytest.mark.skip(reason="one of many networks: CNNVIZ_ZOO=1 runs all of them")
        for item in items:
            if item.get_closest_marker("zoo"):
                item.add_marker(skip)
