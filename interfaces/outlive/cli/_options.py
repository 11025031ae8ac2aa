"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

Data: TypeAlias = Annotated[
    Path, Parameter(name="--data", env_var="OUTLIVE_DATA", help="Folder of the log.")
]
Json: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative=(), help="Print JSON, one object a line.")
]
RunId: TypeAlias = Annotated[str, Parameter(help="Id of the run.")]
Since: TypeAlias = Annotated[
    str | None,
    Parameter(help="Only what began then or later: 90m, 24h, 7d ago, or a date (UTC)."),
]
Until: TypeAlias = Annotated[str | None, Parameter(help="Only what began before then.")]
Cursor: TypeAlias = Annotated[
    str | None, Parameter(help="Where to go on: what the page before ended with.")
]
By: TypeAlias = Annotated[
    str | None, Parameter(help="Who says so; recorded. Default: your login name.")
]
AsText: TypeAlias = Annotated[
    bool, Parameter(negative=(), help="Take the value as text, also if it could be JSON.")
]
