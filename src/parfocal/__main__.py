"""`python -m parfocal`."""

from parfocal.cli import main

main()
