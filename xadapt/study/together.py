"""Modules of a plan that are trained in one pass: fresh LoRA modules on the same stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from xadapt.common.errors import UserError
from xadapt.common.identity import canonical
from xadapt.stacks.methods import Full, LoRA
from xadapt.stacks.stack import is_fuse, methods_in, undropped
from xadapt.study.module_plan import ModulePlan
from xadapt.study.state import Run
from xadapt.study.training import begun, checkpoint_of, keep, prepared
from xadapt.train.together import train_together


def groups(run: Run) -> Iterator[list[ModulePlan]]:
    """The plan's modules in an order in which they can be trained, each once; those that the store lacks and
    that can be trained in one pass are in one group, up to as many as the plan allows.

    A module that stands on what the first of its group stands on can be trained when that one can.
    """
    at_most = run.plan.together if run.team.count == 1 else 1
    left = list(run.plan.modules)
    while left:
        first = left[0]
        alike = [first]
        if at_most > 1 and _suits(first) and not run.store.has(first.address):
            key = _key(first)
            others = (m for m in left[1:] if _suits(m) and _key(m) == key)
            alike += [m for m in others if not run.store.has(m.address)][: at_most - 1]
        left = [module for module in left if module not in alike]
        yield alike


def _suits(module: ModulePlan) -> bool:
    """Whether a module can be trained beside others: LoRA, on one task, on what changes weights alone."""
    below = module.need.below
    if len(module.tasks) > 1 or not isinstance(module.method, LoRA):
        return False
    if below is None:
        return True
    fresh_fusion = is_fuse(undropped(below.top))
    return not fresh_fusion and all(isinstance(m, LoRA | Full) for m in methods_in(below.parts))


def _key(module: ModulePlan) -> str:
    """What modules that are trained in one pass have in common."""
    return canonical([module.determinants["below"], module.tasks[0].task.kind])


def train_group(run: Run, group: Sequence[ModulePlan]) -> set[str]:
    """Train the modules of a group into the store, each as soon as it is done; the addresses of those that
    had to be. Another run that trains one of them is waited for.

    Raises:
        UserError: as ``train_module``; of modules that failed when the others had been trained, what each
            failed with.
    """
    with ExitStack() as held:
        # In an order that all processes have, so that no two wait for each other.
        for module in sorted(group, key=lambda module: module.address):
            on_wait = partial(run.progress.note, f"waiting for another run that trains {module.shown}")
            held.enter_context(run.store.lock(module.address, on_wait=on_wait))
        lacking = [module for module in group if not run.store.has(module.address)]
        _train(run, lacking)
    return {module.address for module in lacking}


def _train(run: Run, modules: Sequence[ModulePlan]) -> None:
    ready = [prepared(run, module) for module in modules]
    checkpoints = [checkpoint_of(run, module) for module in modules]
    with ExitStack() as stages:
        trainings = [
            stages.enter_context(begun(run, *each)) for each in zip(modules, ready, checkpoints, strict=True)
        ]

        def finished(i: int) -> None:
            keep(run, modules[i], ready[i], checkpoints[i], trainings[i].finished())

        failed = train_together(trainings, finished)
    problems = [_named(modules[i], error) for i, error in failed.items()]
    if problems:
        raise problems[0] if len(problems) == 1 else UserError("\n".join(map(str, problems)))


def _named(module: ModulePlan, error: UserError) -> UserError:
    """An error that says which of the modules it is of."""
    got = f"{module.shown} (seed {module.seed}): {error.got}"
    return UserError(got, expected=error.expected, do=error.do, path=error.path, line=error.line)
