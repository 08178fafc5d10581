"""What all tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data, which is not part of the repository: $PARFOCAL_DATA says where.

    A test that needs it fails without it: a skipped test proves nothing.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PARFOCAL_DATA", beside))
    if not (folder / "formats").is_dir():
        pytest.fail(f"no real data in {folder}: set PARFOCAL_DATA to the folder that has it")
    return folder
