"""Files of other programs and our own: one module per format, `formats` for all of them."""

from parfocal.io.cryosparc import read_cryosparc, write_cryosparc
from parfocal.io.estimates import read_estimates, write_estimates
from parfocal.io.formats import read_particles, write_particles
from parfocal.io.images import StackImages, check_stacks
from parfocal.io.mrc import read_map, write_map, write_stack
from parfocal.io.relion import read_relion, write_relion
from parfocal.io.star import read_star, write_star
from parfocal.io.star_edit import edit_columns
from parfocal.io.xmipp import read_xmipp, write_xmipp

__all__ = [
    "StackImages",
    "check_stacks",
    "edit_columns",
    "read_cryosparc",
    "read_estimates",
    "read_map",
    "read_particles",
    "read_relion",
    "read_star",
    "read_xmipp",
    "write_cryosparc",
    "write_estimates",
    "write_map",
    "write_particles",
    "write_relion",
    "write_stack",
    "write_star",
    "write_xmipp",
]
