"""What all tests share."""

import os
from pathlib import Path

import pytest

NO_SKIPS = "PARFOCAL_NO_SKIPS"  # set where everything must run, as in CI


def missing(what: str) -> None:
    """Skip, saying what is missing; where nothing may be skipped, fail."""
    if os.environ.get(NO_SKIPS):
        pytest.fail(f"{what}, and {NO_SKIPS} is set")
    pytest.skip(what)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data, which is not part of the repository: $PARFOCAL_DATA says where."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PARFOCAL_DATA", beside))
    if not (folder / "formats").is_dir():
        missing(f"no real data in {folder}: set PARFOCAL_DATA to the folder that has it")
    return folder


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where nothing may be skipped, a skip that did not ask `missing` fails the run too."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get(NO_SKIPS) and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
