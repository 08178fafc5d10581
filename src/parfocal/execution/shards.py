"""Spectra of a run as files, one a chunk: what makes a run resumable and later questions instant."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np

from parfocal.chunks import ChunkSpectra
from parfocal.errors import InputError
from parfocal.io.files import replacing

FORMAT = 2  # of the files; a change of what the sums mean asks for a new number
PLAN = "plan.json"
COLUMNS = ("sums", "status", "reason", "harmonics")


class ShardStore:
    """A folder of chunks. `fingerprint` says what they were made from; another one is refused."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"format": FORMAT, "fingerprint": fingerprint})
        if holds_shards(self.folder) and (self.folder / PLAN).read_text() != content:
            raise InputError(
                "the spectra here were made from other inputs or settings",
                where=self.folder,
                mend="give the run's own inputs and settings, or another --out",
            )
        with replacing(self.folder / PLAN) as file:
            file.write(content.encode())

    def __contains__(self, number: int) -> bool:
        return self._path(number).exists()

    def get(self, number: int) -> ChunkSpectra | None:
        """Chunk `number`, or None where it is not there yet. InputError if its file is damaged."""
        path = self._path(number)
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                return ChunkSpectra(**{name: held[name] for name in COLUMNS})
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError):
            mend = "delete that file, and run again with --resume"
            raise InputError("damaged spectra", where=path, mend=mend) from None

    def put(self, number: int, spectra: ChunkSpectra) -> None:
        """Keep one chunk; it is there whole or not at all."""
        with replacing(self._path(number)) as file:
            np.savez(file, **{name: getattr(spectra, name) for name in COLUMNS})

    def discard(self) -> None:
        """Remove the folder, and the one that it is in if nothing else is there."""
        shutil.rmtree(self.folder)
        if not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / f"chunk_{number:06d}.npz"


def holds_shards(folder: Path) -> bool:
    """Whether a run began to keep its spectra in `folder`."""
    return (folder / PLAN).exists()
