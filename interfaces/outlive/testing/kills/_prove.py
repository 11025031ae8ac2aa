"""The whole of it: play, let everything be finished, check, tell."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from outlive.actors.sub_agents import with_sub_agents
from outlive.events import InvalidDefinition, LmdbLog, LmdbVisitor, verify
from outlive.testing.kills._account import Account, Ledger
from outlive.testing.kills._campaign import Campaign
from outlive.testing.kills._checks import Counted, Problem, check_all
from outlive.testing.kills._disk import SmallDisk
from outlive.testing.kills._evidence import Evidence, read_evidence
from outlive.testing.kills._plan import Make, Plan, Setup
from outlive.testing.kills._report import KillsFailed, Report, details_of
from outlive.testing.kills._victim import preload


def assert_survives_kills(
    make: str | Make,
    *,
    folder: Path | str | None = None,
    seed: int | None = None,
    kills: int | None = None,
    seconds: float | None = None,
    processes: int = 3,
    freezes: float = 0.2,
    lease: float = 0.5,
    every: float = 0.1,
    runs_at_once: int = 6,
    inputs: Sequence[str] = ("Go on.",),
    agents: Sequence[str] | None = None,
    disk_bytes: int | None = None,
    finish_within: float = 300.0,
) -> Report:
    """Kill and freeze processes that run your agents, and check what they acknowledged.

    Real processes share a folder, start runs, observe them and wait for their results. They
    are killed with SIGKILL and frozen with SIGSTOP at random instants, some at named points of
    the log, and begun anew. At the end one process finishes everything, and then:

    - every acknowledged start is in the log, begun once, and came to one end;
    - results and events are what was told while runs went on;
    - an observer, killed as well, that went on from its offset has seen each event once;
    - nothing is left open or in the inbox, no two owners wrote in turn, `verify` says ok;
    - no answer, of models, tools or people, and no end is recorded twice;
    - what people were told of what they said (see `People`) is what the run came to by it, or a
      refusal that fits what the run was like;
    - each background task has come to one end, its run was told of it once, and no more had a
      slot at the same time than there are;
    - what tools wrote into the ledger is within their promise: with `in_doubt="fail"` at most
      once, with `"ask"` once more for each time a person wanted it, otherwise at least once if
      the call is completed, and with `Ledger.put` once; never without the consent it needs.

    Args:
        make: makes the agents from a `Ledger`, in each process: a function of a module, or
            `"module:function"`. It is called in this process too, to learn what tools promise.
            A tool that writes into the ledger does so once at each call.
        folder: where everything is kept, empty or not there yet: `log`, `ledger` and `output`.
            If left out, a temporary one that is removed unless something fails.
        seed: what decisions are drawn from; drawn if left out, and told.
        kills, seconds: the end is reached after so many kills, or after so much time, whichever
            comes first; after 200 kills if neither is given.
        processes: how many share the folder.
        freezes: the share of strikes that freeze a process, in the place of killing it.
        lease: of the runtimes. Some freezes are longer.
        every: seconds from one strike to the next, more or less: longer than it takes your
            agents to get something done.
        runs_at_once: how many each process starts or waits for. Many kills leave more of them
            open, twice as many at most.
        inputs, agents: what runs are started with is drawn from them; all agents if left out.
        disk_bytes: keep the log on a disk of that size that gets full now and then, and has
            space again.
        finish_within: seconds for the end.

    Raises:
        KillsFailed: something does not hold. Says what, with the events of the run concerned,
            the seed, and the command that does the same again.
        CannotMount: there can be no small disk, and `disk_bytes` is given.
        InvalidDefinition: an argument that cannot be.
    """
    if folder is None:
        place = Path(tempfile.mkdtemp(prefix="outlive-kills-"))
    else:
        place = Path(folder).absolute()
        if place.exists() and not place.is_dir():
            raise InvalidDefinition(f"{str(place)!r} is not a folder")
        if place.exists() and any(place.iterdir()):
            raise InvalidDefinition(f"the folder {str(place)!r} is not empty")
    keep = folder is not None
    try:
        plan = Plan(
            make=make,
            folder=place,
            seed=random.randrange(1 << 32) if seed is None else seed,
            kills=200 if kills is None and seconds is None else kills,
            seconds=seconds,
            processes=processes,
            freezes=freezes,
            lease=lease,
            every=every,
            runs_at_once=runs_at_once,
            inputs=inputs,
            agents=None if agents is None else tuple(agents),
            disk_bytes=disk_bytes,
            finish_within=finish_within,
        )
        return _prove(plan)
    except KillsFailed:
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(place)


def _prove(plan: Plan) -> Report:
    plan.folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(plan.ledger)
    setup = plan.setup(ledger)  # What cannot be made shows before anything is begun.
    preload([plan.module, "outlive.testing.kills._worker", "outlive.testing.kills._observer"])
    disk = None if plan.disk_bytes is None else SmallDisk(plan.log, plan.disk_bytes)
    with disk or nullcontext():
        LmdbLog(plan.log).close()
        campaign = Campaign(plan, disk)
        try:
            seconds = campaign.play()
            problems = [Problem(why) for why in campaign.died]
            problems += _said(campaign.finish())
            return _judge(plan, campaign, ledger, setup, seconds=seconds, problems=problems)
        except KillsFailed:
            if disk is not None:  # It is gone with the disk otherwise.
                ignored = shutil.ignore_patterns("lock.mdb", "owner.lock", "wake")
                shutil.copytree(plan.log, plan.folder / "log that failed", ignore=ignored)
            raise
        finally:
            campaign.close()
            ledger.close()


def _judge(
    plan: Plan,
    campaign: Campaign,
    ledger: Ledger,
    setup: Setup,
    *,
    seconds: float,
    problems: list[Problem],
) -> Report:
    visitor = LmdbVisitor(plan.log)
    try:
        problems += _said(campaign.finish_observer(visitor.head))
        evidence = read_evidence(ledger.account.lines())
        found, counted = _check(plan, setup, ledger, visitor, evidence)
        problems += found
        report = _report(plan, campaign, seconds, evidence, counted)
        if problems:
            run_id = next((each.run_id for each in problems if each.run_id), "")
            details = details_of(visitor, run_id, ledger.account.lines()) if run_id else ""
            raise KillsFailed(report, problems, details, plan.again, plan.folder)
        return report
    finally:
        visitor.close()


def _said(why: str) -> list[Problem]:
    return [Problem(why)] if why else []


def _check(
    plan: Plan, setup: Setup, ledger: Ledger, visitor: LmdbVisitor, evidence: Evidence
) -> tuple[list[Problem], Counted]:
    observed = Account(plan.observed)
    try:
        problems, counted = check_all(
            visitor,
            evidence,
            agents=with_sub_agents(setup.agents),
            start_of=lambda run_id: plan.start_of(run_id, setup),
            taken=ledger.taken,
            observed=observed.lines(),
            reply_to=visitor.reply,
            background_tasks=setup.background_tasks,
            drawn=plan.draws,
        )
    finally:
        observed.close()
    verified = verify(plan.log)
    if not verified.ok:
        problems.append(Problem(f"the log is bad: {verified.reason}"))
    if not evidence.started:
        problems.append(
            Problem(
                f"no start was ever acknowledged, {evidence.opened} processes came up: are "
                f"{plan.every:g} s from one kill to the next enough (every=)?"
            )
        )
    return problems, counted


def _report(
    plan: Plan, campaign: Campaign, seconds: float, evidence: Evidence, counted: Counted
) -> Report:
    return Report(
        seed=plan.seed,
        seconds=seconds,
        kills=campaign.kills,
        freezes=campaign.freezes,
        full_disks=campaign.full_disks,
        opened=evidence.opened,
        starts=len(evidence.started),
        submitted=evidence.submitted,
        results=len(evidence.results),
        runs=counted.runs,
        events=counted.events,
        owners=counted.owners,
        takeovers=evidence.takeovers,
        recoveries=counted.recoveries,
        tasks=counted.tasks,
        tasks_at_once=counted.tasks_at_once,
        effects=sum(evidence.effects.values()) + len(evidence.asked),
        said=sum(not each.refusal for each, _ in evidence.said),
        refused=dict(evidence.refused),
        held_up=dict(evidence.held_up),
    )
