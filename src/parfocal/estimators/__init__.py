"""The methods, one file each, and the table of them."""

from parfocal.estimators.bayes import Bayes
from parfocal.estimators.draft import Method
from parfocal.estimators.profile import Profile

ESTIMATORS: dict[str, Method] = {method.name: method for method in (Profile(), Bayes())}

__all__ = ["ESTIMATORS", "Bayes", "Profile"]
