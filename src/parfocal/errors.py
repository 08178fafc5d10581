"""The one exception that a user is meant to read."""


class InputError(ValueError):
    """Bad input: one line that says what is wrong, where, and how to mend it.

    The command line prints it and ends with exit code 2; a library caller may catch it.
    """

    def __init__(self, what: str, *, where: object = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, str(where), mend
        place = f"{where}: " if str(where) else ""
        cure = f" - {mend}" if mend else ""
        super().__init__(" ".join(f"{place}{what}{cure}".split()))
