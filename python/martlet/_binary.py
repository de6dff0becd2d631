"""Where the program is."""
import os
import shutil
import sysconfig

from ._error import MartletError


def binary() -> str:
    """The path of the `martlet` program: the one installed with this package, or else the first in PATH.

    Raises MartletError with `no_program`.
    """
    beside = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin")  # pip install --target
    for folder in (sysconfig.get_path("scripts"), sysconfig.get_path("scripts", "posix_user"), beside):
        path = os.path.join(folder, "martlet")
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("martlet")
    if found is None:
        raise MartletError(None, "no_program", "The martlet program is not installed: pip install --force-reinstall its wheel.")
    return found
