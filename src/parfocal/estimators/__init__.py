"""The methods, one file each, and the table of them."""

from parfocal.estimators.profile import Profile

ESTIMATORS = {method.name: method for method in (Profile(),)}

__all__ = ["ESTIMATORS", "Profile"]
