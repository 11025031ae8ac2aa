"""The test kit: what proves that agents outlive their process. Needs the extra `testing`.

What needs hypothesis or pytest is in submodules and says how to install them.
"""

__all__: list[str] = []
