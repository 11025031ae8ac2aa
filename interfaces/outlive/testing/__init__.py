"""The test kit: what proves that agents outlive their process. Needs the extra `testing`.

What needs hypothesis or pytest is in submodules and says how to install them.
"""

from outlive.testing._deciding import Given, When, given
from outlive.testing._stored import fold, stored

__all__ = ["Given", "When", "fold", "given", "stored"]
