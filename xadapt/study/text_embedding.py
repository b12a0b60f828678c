"""A data set as one vector: what the frozen encoder makes of its texts on average."""

from __future__ import annotations

import numpy as np
import torch

from xadapt.backbone.packing import budgeted, pack
from xadapt.common.errors import UserError
from xadapt.data.labels import OpenLabels
from xadapt.kinds import kind_of
from xadapt.kinds.checks import check_length
from xadapt.mount import mount
from xadapt.study.inputs import load_inputs
from xadapt.study.state import Run
from xadapt.tasks import Catalogue, task_named
from xadapt.train.batches import BATCH_TOKENS


def text_embedding(run: Run, name: str, catalogue: Catalogue, examples: int) -> np.ndarray:
    """The mean of the last hidden states over all tokens of a task's English training examples, with no
    module on the backbone. Labels play no part.

    Args:
        name: of the task; what it trains on is read (SQuAD's examples for XQuAD).
        examples: so many of them, taken from all over the training data.

    Returns:
        (width,), float64.

    Raises:
        UserError: a task that trains on nothing, or whose data is not there.
    """
    task = OpenLabels(run.source).with_labels(task_named(name, catalogue))
    if task.train is None:
        raise UserError(f"{name} has no training data whose texts could be read")
    length = min(task.max_length, run.backbone.max_length)
    check_length(length, kind_of(task).least)
    _, items = load_inputs(
        run,
        task,
        task_named(task.train, catalogue),
        languages=["en"],
        split="train",
        max_length=length,
        sample=examples,
    )
    mounted = mount(run.backbone, [])
    total, tokens = np.zeros(run.backbone.config.hidden_size), 0
    for row in budgeted([len(item) for item in items], BATCH_TOKENS):
        packed = pack([s for i in row for s in items[i].sequences]).to(run.backbone.device)
        with torch.inference_mode():
            hidden = mounted.encode(packed).double()
        total += hidden.sum(dim=0).cpu().numpy()
        tokens += len(hidden)
    return total / tokens
