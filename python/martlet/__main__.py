"""`python -m martlet` is `martlet`."""
import os
import sys

from ._binary import binary

program = binary()
os.execv(program, [program, *sys.argv[1:]])
