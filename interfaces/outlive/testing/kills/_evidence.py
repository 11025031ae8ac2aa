"""What was acknowledged, and what the outside world has seen: the account, read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from outlive.testing._said import Said, name_of
from outlive.testing.kills._account import Line, effect_of
from outlive.testing.kills._people import said_in


@dataclass
class Evidence:
    """What processes have written down before they were killed."""

    started: set[str] = field(default_factory=set[str])
    results: dict[str, set[tuple[str, str]]] = field(
        default_factory=lambda: defaultdict(set[tuple[str, str]])
    )
    seen: dict[str, set[tuple[int, str]]] = field(
        default_factory=lambda: defaultdict(set[tuple[int, str]])
    )
    effects: Counter[str] = field(default_factory=Counter[str])
    asked: set[str] = field(default_factory=set[str])
    held_up: Counter[str] = field(default_factory=Counter[str])
    said: list[tuple[Said, str]] = field(default_factory=list[tuple[Said, str]])
    """What people have said, and the command's id where it was put into the inbox."""
    refused: Counter[str] = field(default_factory=Counter[str])
    errors: list[str] = field(default_factory=list[str])
    signalled: dict[tuple[str, str], set[str]] = field(
        default_factory=lambda: defaultdict(set[str])
    )
    """What signals were told to have come to, by thread and id."""
    opened: int = 0
    takeovers: int = 0
    submitted: int = 0

    def take(self, line: Line) -> None:
        """Take a line of the account. Lines of others (a tool's own) are passed over."""
        effect = effect_of(line)
        if effect is not None:
            key, repeats_count = effect
            if repeats_count:
                self.effects[key] += 1
            else:
                self.asked.add(key)
            return
        said = said_in(line)
        if said is not None:
            self.said.append(said)
            if said[0].refusal:
                self.refused[name_of(said[0].refusal)] += 1
            return
        match line:
            case ("started", str(run_id), bool(submitted)):
                self.started.add(run_id)
                self.submitted += submitted
            case ("seen", str(run_id), int(version), str(id)):
                self.seen[run_id].add((version, id))
            case ("result", str(run_id), str(status), str(output)):
                self.results[run_id].add((status, output))
            case ("signalled", str(thread), str(signal_id), str(action)):
                self.signalled[thread, signal_id].add(action)
            case ("open", int(), str()):
                self.opened += 1
            case ("owner", int()):
                self.takeovers += 1
            case ("held up", int(), str(error)):
                self.held_up[error] += 1
            case ("error", int(number), str(error), str(message)):
                self.errors.append(f"process {number} raised {error}: {message}")
            case _:
                pass


def read_evidence(lines: Iterable[Line]) -> Evidence:
    """Return what the lines of an account tell."""
    evidence = Evidence()
    for line in lines:
        evidence.take(line)
    return evidence
