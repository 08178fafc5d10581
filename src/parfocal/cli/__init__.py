"""The command line: one file per command, each parse -> one library call -> write."""

from parfocal.cli.app import main

__all__ = ["main"]
