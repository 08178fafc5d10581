"""The one exception that a user is meant to read."""

import errno
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MENDS = {
    errno.ENOENT: "check the name: it counts from the folder that you are in",
    errno.EISDIR: "give a file, not a folder",
    errno.ENOTDIR: "a file stands where a folder should be: check the path",
    errno.EACCES: "ask for the right to read or write there, or choose another place",
    errno.EPERM: "ask for the right to read or write there, or choose another place",
    errno.EROFS: "this disk cannot be written to: choose another place",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    **dict.fromkeys(
        NO_SPACE,
        "free some space, or choose another disk, then run again with the folder begun removed",
    ),
}


class InputError(ValueError):
    """Bad input: one line that says what is wrong, where, and how to mend it.

    The command line prints it and ends with exit code 2; a library caller may catch it.
    """

    def __init__(self, what: str, *, where: object = "", mend: str) -> None:
        self.what, self.where, self.mend = what, str(where), mend
        place = f"{where}: " if str(where) else ""
        super().__init__(" ".join(f"{place}{what} - {mend}".split()))

    @classmethod
    def of_system(cls, error: OSError, where: str | Path | None = None) -> "InputError":
        """What the operating system complains of, with what a user can do about it."""
        return cls(
            error.strerror or str(error),
            where=where or error.filename or "",
            mend=MENDS.get(error.errno or 0, "check the path and the disk, then run again"),
        )
