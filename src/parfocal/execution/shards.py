"""Spectra of a run as files, one a chunk: what makes a run resumable and later questions instant."""

import json
from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.evidence import ChunkSpectra
from parfocal.io.files import replacing

FORMAT = 1  # of the files; a change of what the sums mean asks for a new number


class ShardStore:
    """A folder of chunks. `fingerprint` says what they were made from; another one is refused."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        plan = self.folder / "plan.json"
        content = {"format": FORMAT, "fingerprint": fingerprint}
        if plan.exists() and json.loads(plan.read_text()) != content:
            raise InputError(
                "the spectra here were made from other inputs or settings",
                where=self.folder,
                mend="give the run's own inputs and settings, or another --out",
            )
        with replacing(plan) as file:
            file.write(json.dumps(content).encode())

    def get(self, number: int) -> ChunkSpectra | None:
        """Chunk `number`, or None where it is not there yet."""
        path = self._path(number)
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as held:
            return ChunkSpectra(sums=held["sums"], status=held["status"], reason=held["reason"])

    def put(self, number: int, spectra: ChunkSpectra) -> None:
        """Keep one chunk; it is there whole or not at all."""
        with replacing(self._path(number)) as file:
            np.savez(file, sums=spectra.sums, status=spectra.status, reason=spectra.reason)

    def __contains__(self, number: int) -> bool:
        return self._path(number).exists()

    def _path(self, number: int) -> Path:
        return self.folder / f"chunk_{number:06d}.npz"
