"""No replica, and back."""
from cluster_checks import *
