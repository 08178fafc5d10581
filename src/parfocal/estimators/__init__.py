"""The methods, one file each, and the table of them."""

from parfocal.estimators.bayes import Bayes
from parfocal.estimators.cryosparc import Cryosparc
from parfocal.estimators.draft import Method
from parfocal.estimators.gctf import Gctf
from parfocal.estimators.highres import HighRes
from parfocal.estimators.profile import Profile
from parfocal.estimators.relion import Relion
from parfocal.estimators.xmipp import Xmipp

ESTIMATORS: dict[str, Method] = {
    method.name: method
    for method in (
        Bayes(),
        Profile(),
        Relion(),
        Relion(name="relion-grid", brute_force=True),
        Cryosparc(),
        Xmipp(),
        Xmipp(name="xmipp-cc", cost="cc"),
        HighRes(),
        Gctf(),
    )
}

__all__ = [
    "ESTIMATORS",
    "Bayes",
    "Cryosparc",
    "Gctf",
    "HighRes",
    "Method",
    "Profile",
    "Relion",
    "Xmipp",
]
