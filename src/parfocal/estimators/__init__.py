"""The methods, one file each, and the table of them."""

from parfocal.estimators.bayes import Bayes
from parfocal.estimators.profile import Profile

ESTIMATORS = {method.name: method for method in (Profile(), Bayes())}

__all__ = ["ESTIMATORS", "Bayes", "Profile"]
