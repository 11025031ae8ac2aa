"""Imported before the tests are: pytest shows what they compared, as in a module of one's own."""

from __future__ import annotations

from outlive.testing._extra import explained

try:
    import pytest
except ModuleNotFoundError as error:
    raise explained(error, "outlive.testing.log_contract") from None

pytest.register_assert_rewrite(
    *(
        f"outlive.testing.log_contract.{part}"
        for part in ("appending", "committing", "compacting", "following", "keeping", "named")
    )
)
