"""The versions of training and of scoring. They are part of addresses: raised, everything is made anew."""

from __future__ import annotations

from xadapt.store.store import ModuleInfo

# Raised when the same inputs would give other weights than before.
# 2: whole stacks below a module. 3: what lies below is folded. 4: addresses know how data are read and which
# metric selects, not what the task is called; first weights do not depend on the address. 5: products and
# dropout are computed in other ways; no dropout below the lowest layer in which anything is learned.
# 6: without gradients, gelu is computed with its product
TRAINING_VERSION = 6

# Raised when the same inputs would give other scores than before.
# 2: Tatoeba is asked from English; F1 of answers without words. 3: whole stacks. 4: folded stacks.
# 5: addresses know how data are read and which metrics are asked for. 6: what each item adds is kept
# 7: products are computed in other ways; of equally near vectors the first is taken. 8: gelu too
SCORING_VERSION = 8


def outdated(info: ModuleInfo) -> bool:
    """Whether a module was trained by an earlier version, so that no plan asks for it."""
    return info.version is not None and info.version < TRAINING_VERSION
