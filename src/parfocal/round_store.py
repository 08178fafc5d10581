"""Rounds of `parfocal iterate` as files, one a round: what a run that was killed goes on from."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from parfocal.errors import InputError
from parfocal.estimates import DefocusEstimates
from parfocal.fsc_curves import KINDS, FscCurves
from parfocal.io.files import replacing
from parfocal.iterate import Round
from parfocal.own_reference import OwnReference
from parfocal.particles import Particles

PLAN, MASK = "plan.json", "mask.npy"
NAMES = ("particle_id", "micrograph")  # of estimates: those of the particles
NUMBERS = ("gain", "step", "moved", "error")  # of a Round
SCALARS = ("randomised_from", "pixel_size")  # of FscCurves


class RoundStore:
    """A folder of rounds, made with the first. `made_from`, plain values by name, says what of.

    InputError where rounds that are there were made from something else.
    """

    def __init__(self, folder: Path, made_from: Mapping[str, object]) -> None:
        self.folder = Path(folder)
        self.made_from = json.loads(json.dumps(made_from))  # as it will be read: lists for tuples
        if not holds_rounds(self.folder):
            return
        held = json.loads((self.folder / PLAN).read_text())
        other = [k for k in {**held, **self.made_from} if held.get(k) != self.made_from.get(k)]
        if other:
            what = f"the rounds here were made with other {', '.join(other)}"
            mend = "give the run's own inputs and settings, or another --out"
            raise InputError(what, where=self.folder, mend=mend)

    def put(self, found: Round, met: OwnReference) -> None:
        """Keep a round, and what is known of the maps that it met; it is there whole or not at all."""
        if found.number == 1:
            with replacing(self.folder / PLAN) as file:
                file.write(json.dumps(self.made_from).encode())
            with replacing(self.folder / MASK) as file:
                np.save(file, met.mask)
        estimates = found.estimates
        told = {
            "method": estimates.method,
            "version": estimates.version,
            "settings": dict(estimates.settings),
            **{name: getattr(found, name) for name in NUMBERS},
            **{name: getattr(met.curves, name) for name in SCALARS},
        }
        columns = {
            f"estimates_{name}": column
            for name, column in estimates.columns().items()
            if name not in NAMES
        }
        curves = {f"curves_{name}": getattr(met.curves, name) for name in ("k", *KINDS)}
        with replacing(self._path(found.number)) as file:
            np.savez(file, told=np.array(json.dumps(told)), **columns, **curves)

    def rounds(self, particles: Particles) -> list[tuple[Round, FscCurves]]:
        """The rounds that are there, from the first on, with the FSC of the maps that each met.

        InputError if a file is damaged.
        """
        found = []
        while (path := self._path(len(found) + 1)).exists():
            try:
                found.append(_read(path, len(found) + 1, particles))
            except (zipfile.BadZipFile, ValueError, KeyError, EOFError):
                mend = "delete that file, and run again with --resume"
                raise InputError("a damaged round", where=path, mend=mend) from None
        return found

    def mask(self) -> np.ndarray:
        """The mask of all rounds, the first of which must be there."""
        return np.load(self.folder / MASK)

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f"round_{number:02d}.npz"


def _read(path: Path, number: int, particles: Particles) -> tuple[Round, FscCurves]:
    with np.load(path, allow_pickle=False) as held:
        told = json.loads(str(held["told"]))
        curves = {name: held[f"curves_{name}"] for name in ("k", *KINDS)}
        columns = {
            name.removeprefix("estimates_"): held[name]
            for name in held.files
            if name.startswith("estimates_")
        }
    columns |= {name: getattr(particles, name) for name in NAMES}
    named = {name: told[name] for name in ("method", "version", "settings")}
    found = Round(
        number=number,
        estimates=DefocusEstimates(**columns, **named),
        gain=tuple(told["gain"]),
        step=tuple(told["step"]),
        moved=told["moved"],
        error=told["error"],
    )
    return found, FscCurves(**curves, **{name: told[name] for name in SCALARS})


def holds_rounds(folder: Path) -> bool:
    """Whether a run began to keep its rounds in `folder`."""
    return (folder / PLAN).exists()
