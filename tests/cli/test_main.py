"""The entry point works without the extra, as far as to say how to install it."""

import sys

import pytest

from outlive.cli import main
from tests.cli.support import start


def test_without_the_extra_the_line_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cyclopts", None)
    monkeypatch.delitem(sys.modules, "outlive.cli._app", raising=False)

    with pytest.raises(SystemExit) as ended:
        main()

    assert "pip install 'outlive[cli]'" in str(ended.value.code)


def test_an_import_that_fails_for_another_reason_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "msgspec", None)
    monkeypatch.delitem(sys.modules, "outlive.cli._app", raising=False)
    monkeypatch.delitem(sys.modules, "outlive.cli._exit", raising=False)
    monkeypatch.delitem(sys.modules, "outlive.events", raising=False)
    monkeypatch.delitem(sys.modules, "outlive.events.commit", raising=False)

    with pytest.raises(ModuleNotFoundError, match="msgspec"):
        main()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["runs", "--help"], []])
def test_help_is_there(arguments: list[str]) -> None:
    process = start(*arguments)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert out
    assert err == ""
