"""parfocal: per-particle defocus for single-particle cryo-EM, with an error bar."""

__version__ = "0.1.0"
