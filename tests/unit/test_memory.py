"""What memory there is, as Linux and its control groups tell it."""

from pathlib import Path

import pytest

from parfocal.execution.memory import available_memory

GB = 2**30


@pytest.fixture
def root(tmp_path) -> Path:
    """A machine with 8 GB free and no limits."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {8 * 2**20} kB\n")
    return tmp_path


def limited(root, group, name, text, base="sys/fs/cgroup"):
    folder = root / base / group.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_without_limits_it_is_what_the_machine_has_free(root):
    assert available_memory(root) == 8 * GB
    (root / "proc/self/cgroup").write_text("0::/\n")
    assert available_memory(root) == 8 * GB


def test_the_limit_of_a_batch_job_counts_also_where_an_outer_group_has_it(root):
    (root / "proc/self/cgroup").write_text("0::/slurm/job_7/step\n")
    limited(root, "slurm/job_7/step", "memory.max", "max\n")
    limited(root, "slurm/job_7", "memory.max", f"{3 * GB}\n")
    limited(root, "elsewhere", "memory.max", f"{GB}\n")
    assert available_memory(root) == 3 * GB


def test_control_groups_of_version_1(root):
    (root / "proc/self/cgroup").write_text("5:cpu:/job\n4:memory:/job\n")
    limited(root, "job", "memory.limit_in_bytes", f"{2 * GB}\n", "sys/fs/cgroup/memory")
    limited(root, "job", "memory.limit_in_bytes", "1\n", "sys/fs/cgroup/cpu")
    assert available_memory(root) == 2 * GB


def test_a_limit_beyond_what_is_free_says_nothing(root):
    (root / "proc/self/cgroup").write_text("0::/job\n")
    limited(root, "job", "memory.max", f"{100 * GB}\n")
    assert available_memory(root) == 8 * GB


def test_of_this_machine_it_is_some():
    assert available_memory() > 2**20
