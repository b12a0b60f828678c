"""One module of a plan: trained on its tasks, and put into the store with what there is to say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from xadapt.common.errors import UserError
from xadapt.common.files import NoRoomError
from xadapt.common.measure import machine
from xadapt.common.own import is_own
from xadapt.common.progress import Training, training_stage
from xadapt.kinds import kind_of
from xadapt.mount import Mounted
from xadapt.mount.weights import weights_file_of
from xadapt.stacks.stack import method_names
from xadapt.study.inputs import load_inputs
from xadapt.study.module_loader import first_head, mount_fresh
from xadapt.study.module_plan import ModulePlan, TrainingTask
from xadapt.study.state import Run
from xadapt.study.trunk_cache import kept_depth
from xadapt.train.loop import ModuleTraining, Trained, trained
from xadapt.train.optimisation import TaskInputs
from xadapt.train.task_sampling import Schedule, schedule, shares


class Ready(NamedTuple):
    """What the loop takes, and how many training examples that is, all languages and tasks together."""

    mounted: Mounted
    inputs: list[TaskInputs]
    order: Schedule
    examples: int


def train_module(run: Run, module: ModulePlan) -> None:
    """Train a module into the store; the caller holds its lock, and leads the run's processes.

    Raises:
        UserError: broken data, a loss that is not finite, a store that cannot be written, a method of the
            user's own that has changed the backbone's weights.
    """
    ready = prepared(run, module)  # before the others are called: what is kept on disk, they find there
    run.team.call(module.address)
    checkpoint, result = _train(run, module, lambda: ready)
    keep(run, module, ready, checkpoint, result)


def keep(run: Run, module: ModulePlan, ready: Ready, checkpoint: Path, result: Trained) -> None:
    """Put a trained module into the store, with what there is to say of it.

    Raises:
        UserError: the store cannot be written, or the backbone's weights are no longer what they were.
    """
    _prove_backbone(run, module)
    manifest = _manifest(run, module, result, ready.inputs, ready.order)
    manifest["data"]["examples"] = ready.examples
    if ready.mounted.fusion:
        manifest["fusion"] = ready.mounted.fusion
    try:
        run.modules[module.address] = run.store.write(
            module.address,
            weights=result.weights,
            head=result.head,
            config=ready.mounted.config,
            manifest=manifest,
            weights_file=weights_file_of(module.method),
        )
    except NoRoomError as error:
        raise _no_room(error, module, result, checkpoint) from error
    run.store.done(module.address)


def _prove_backbone(run: Run, module: ModulePlan) -> None:
    """Code of the user's own, in this stack or in one before it, can write into the backbone: what was
    trained on that is not kept, nor its checkpoint, which a later run would go on from."""
    try:
        run.backbone.verify()
    except RuntimeError as error:
        run.store.done(module.address)
        own = [name for name in dict.fromkeys(method_names(module.stack.parts)) if is_own(name)]
        who = " or ".join(own) or "something that this process has mounted"
        raise UserError(
            f"{module.shown} is not kept: {who} has changed the backbone's own weights",
            expected="a method that trains parameters of its own: copies, or what it adds",
            do="put a copy in place of a weight, as docs/your-own.md does with biases, and start Python "
            "anew: in this process the backbone stays changed",
        ) from error


def help_train(run: Run, address: str) -> None:
    """What the other processes do of ``train_module``: their share of its steps. They write nothing."""
    module = next(module for module in run.plan.modules if module.address == address)
    _train(run, module, lambda: prepared(run, module))


def prepared(run: Run, module: ModulePlan) -> Ready:
    """A module mounted on what it stands on, with its data.

    Raises:
        UserError: broken data, a module below that does not fit.
    """
    mounted = mount_fresh(run, module)
    loaded = [_task_inputs(run, module, training, mounted) for training in module.tasks]
    inputs = [task for task, _ in loaded]
    order = _order(module, [len(task.items) for task in inputs])
    return Ready(mounted, inputs, order, sum(examples for _, examples in loaded))


def _train(run: Run, module: ModulePlan, prepare: Callable[[], Ready]) -> tuple[Path, Trained]:
    """Where the module's checkpoint is, and the finished run."""
    ready = run.team.together(prepare)
    checkpoint = checkpoint_of(run, module)
    with begun(run, module, ready, checkpoint) as training:
        return checkpoint, trained(training)


def checkpoint_of(run: Run, module: ModulePlan) -> Path:
    """Where a module's checkpoint is; its folder is made."""
    return run.team.led(run.store.work)(module.address) / "checkpoint.safetensors"


@contextmanager
def begun(run: Run, module: ModulePlan, ready: Ready, checkpoint: Path) -> Iterator[ModuleTraining]:
    """A module's training, and a stage that shows how far it is."""
    about = Training(module.shown, module.seed, module.address, module.determinants)
    what = f"train {module.shown} (seed {module.seed})"
    with training_stage(run.progress, what, len(ready.order.tasks), about) as advance:
        seen = 0

        def tick(at: int, of: int, facts: dict[str, float]) -> None:
            nonlocal seen
            advance(at - seen, **facts)
            seen = at

        def saving(save: Callable[[], None]) -> None:
            # A checkpoint needs several times the room of its module: without that room, training goes on.
            try:
                run.store.making_room(save)
            except NoRoomError as error:
                run.progress.note(f"no checkpoint is kept: {error.got}")

        yield ModuleTraining(
            ready.mounted,
            ready.inputs,
            module.settings,
            seed=module.seed,
            order=ready.order,
            checkpoint=checkpoint,
            tick=tick,
            saving=saving,
            team=run.team,
        )


def _task_inputs(
    run: Run, module: ModulePlan, training: TrainingTask, mounted: Mounted
) -> tuple[TaskInputs, int]:
    """What the loop takes of one task, and how many training examples that is, all languages together."""
    task, data, length = training.task, training.data, training.max_length
    head = first_head(run, module, task, mounted)
    depth = kept_depth(run.plan.cache_gb, mounted, kind_of(task))
    examples, items = load_inputs(
        run,
        task,
        data,
        languages=training.languages,
        split="train",
        max_length=length,
        size=training.size,
        seed=module.seed,
        depth=depth,
        visits=module.settings.max_steps and module.settings.max_steps * module.settings.batch_size,
    )
    sample = module.settings.dev_examples
    dev = load_inputs(
        run, task, data, languages=[training.dev], split="dev", max_length=length, sample=sample, depth=depth
    )
    return TaskInputs(task.name, kind_of(task), head, items, dev, task.metrics[0]), len(examples)


def _order(module: ModulePlan, sizes: Sequence[int]) -> Schedule:
    """Which task each step takes; an epoch of a joint is its tasks' items, each up to the cap.

    Args:
        sizes: the items of each task.
    """
    if len(sizes) == 1:
        return schedule(module.settings.steps(sizes[0]), shares(sizes, max(1, sizes[0]), 1.0), module.seed)
    cap, temperature = int(module.mixing["cap"]), float(module.mixing["temperature"])
    steps = module.settings.steps(sum(min(size, cap) for size in sizes))
    return schedule(steps, shares(sizes, cap, temperature), module.seed)


def _manifest(
    run: Run, module: ModulePlan, result: Trained, inputs: Sequence[TaskInputs], order: Schedule
) -> dict[str, Any]:
    """What the module's folder says of it; the store adds hashes, versions and the date."""
    tensors = [*result.weights.values(), *result.head.values()]
    tasks = [t.task for t in module.tasks]
    rows = [t.data for t in module.tasks]
    return {
        "determinants": dict(module.determinants),
        "expression": str(module.stack.plain),
        "task": " + ".join(task.name for task in tasks),
        "kind": tasks[0].kind if len(tasks) == 1 else "joint",
        "labels": list(tasks[0].labels) if len(tasks) == 1 else [],
        "method": str(module.method),
        "seed": module.seed,
        "backbone": {"name": run.backbone.name, "fingerprint": run.backbone.fingerprint},
        "data": {
            "source": run.source.name,
            "task": " + ".join(row.name for row in rows),
            "languages": sorted({lang for t in module.tasks for lang in t.languages}),
            "items": {task.name: len(task.items) for task in inputs},
            "dev_examples": sum(len(task.dev[0]) for task in inputs),
            "notes": _notes(run, module),
            "licence": _listed(row.licence for row in rows),
            "citation": _listed(row.citation for row in rows),
            "url": _listed(row.url for row in rows),
        },
        "dev": {
            "metric": inputs[0].metric if len(inputs) == 1 else "mean over the tasks",
            "score": result.progress.best,
            "step": result.progress.best_step,
            "history": result.progress.history,
        },
        "training": {
            "seconds": round(result.progress.seconds, 2),
            "steps": result.progress.step,
            "steps_by_task": dict(zip((t.name for t in inputs), order.counts(len(inputs)), strict=True)),
            "threads": torch.get_num_threads(),
            "device": str(run.backbone.device),
            "machine": machine(),
        },
        "parameters": sum(t.numel() for t in tensors),
    }


def _notes(run: Run, module: ModulePlan) -> dict[str, int]:
    """What the readers dropped or repaired, summed over the module's data."""
    notes: Counter[str] = Counter()
    for training in module.tasks:
        for lang in training.languages:
            notes.update(run.notes[training.data.name, lang, "train"])
    return dict(notes)


def _listed(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))


def _no_room(error: NoRoomError, module: ModulePlan, result: Trained, checkpoint: Path) -> UserError:
    """What to say of a trained module that the disk has no room for; its last checkpoint stays."""
    size = sum(t.nbytes for t in (*result.weights.values(), *result.head.values()))
    kept = checkpoint.is_file()
    again = f"training goes on from the checkpoint in {checkpoint.parent}" if kept else "it is trained again"
    return UserError(
        f"{module.shown} is trained, and there is no room to keep it: {error.got}",
        expected=f"{size / 1e6:,.1f} MB free",
        do=f"free some space there and run again: {again}",
        path=error.path,
    )
