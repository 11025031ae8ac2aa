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
