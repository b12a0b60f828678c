"""The words that combine modules: what each does, its options, what it can be applied to.

    joint(a, b, cap=131072, temperature=1.0)    one module, trained on a mixture of tasks
    fuse(a, b)                                  weights over modules, learned with the part above
    mean linear cat svd ties dare_ties dare_linear      modules merged into one effect; nothing is trained
    mine.largest(a, b, share=0.2)               a merge of a user's own: the function ``largest`` of mine.py

A new merge is one more row. How one is computed is not known here.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from xadapt.common.errors import UserError, nearest
from xadapt.common.own import found, is_own
from xadapt.common.rules import Rule, between, option_problem, options_behind, whole_number
from xadapt.stacks.methods import LARGEST_RANK, Method

Value = int | float | str
_SMALLEST_WEIGHT, _LARGEST_WEIGHT = 1e-30, 1e9  # float32 holds these, and products of them with an effect


@dataclass(frozen=True)
class Option:
    """One option: its default (None: worked out from the operands) and what it may be."""

    default: Value | None
    rule: Rule


@dataclass(frozen=True)
class Combination:
    """One word.

    Attributes:
        summary: what it does, for people.
        weighted: whether operands may have weights, as in ``0.7*mnli``.
        methods: what its operands may be trained with; empty where they are no modules but data.
        options: by name, in the order in which they are printed.
    """

    summary: str
    weighted: bool = False
    methods: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)

    @property
    def rules(self) -> dict[str, Rule]:
        """What each option may be."""
        return {name: option.rule for name, option in self.options.items()}

    @property
    def defaults(self) -> dict[str, Value | None]:
        """What each option is where it is not given."""
        return {name: option.default for name, option in self.options.items()}


# Below, ties keeps nothing of a small matrix and dare scales what it keeps beyond float32.
def _density(default: float) -> Option:
    return Option(default, between(0.001, 1, "a share of the values", ", such as 0.2"))


_SIGNS = Option(
    "total", Rule("'total' or 'frequency'", lambda v: isinstance(v, str) and v in ("total", "frequency"))
)
_RANK = Option(None, whole_number(1, LARGEST_RANK))
_EITHER, _LORA = ("lora", "bottleneck"), ("lora",)

# The names and options of merges are peft's (LoraModel.add_weighted_adapter). Bottlenecks are not linear:
# only their outputs can be averaged.
COMBINATIONS: Final[Mapping[str, Combination]] = {
    "joint": Combination(
        "one module on a mixture of tasks, drawn in proportion to min(examples, cap) ** (1 / temperature), "
        "the examples-proportional mixing of Raffel et al. 2020, section 3.5.2",
        options={
            "cap": Option(2**17, whole_number(1, 10**9)),
            # sizes ** (1 / temperature): below 0.1 this leaves what a float can hold
            "temperature": Option(1.0, between(0.1, 1000)),
        },
    ),
    "fuse": Combination(
        "weights over frozen modules, learned together with the part above (AdapterFusion, Pfeiffer et al. "
        "2021, for bottlenecks; a mixture of effects in each layer for LoRA)",
        methods=_EITHER,
    ),
    "mean": Combination(
        "the weighted mean of the modules' effects; weights are divided by their sum", True, _EITHER
    ),
    "linear": Combination(
        "peft's 'linear': A added to A and B to B; for comparison, mean is sound", True, _LORA
    ),
    "cat": Combination("the weighted sum of effects, exactly: ranks put side by side", True, _LORA),
    "svd": Combination(
        "the weighted sum, cut to a rank; the largest of the modules' by default",
        True,
        _LORA,
        {"rank": _RANK},
    ),
    "ties": Combination(
        "the largest values, signs elected, then the mean of those that agree (Yadav et al. 2023)",
        True,
        _LORA,
        {"density": _density(0.2), "majority_sign_method": _SIGNS, "rank": _RANK},
    ),
    "dare_ties": Combination(
        "values dropped at random and the others scaled up (Yu et al. 2024), then as ties",
        True,
        _LORA,
        {"density": _density(0.5), "majority_sign_method": _SIGNS, "rank": _RANK},
    ),
    "dare_linear": Combination(
        "values dropped at random and the others scaled up (Yu et al. 2024), then summed",
        True,
        _LORA,
        {"density": _density(0.5), "rank": _RANK},
    ),
}
MERGES: Final = tuple(name for name in COMBINATIONS if name not in ("joint", "fuse"))
KEYWORDS: Final = (*COMBINATIONS, "drop", "lang")


def combination(how: str) -> Combination:
    """What a word means: one of ours, or ``module.name`` of a user's own merge.

    That is a function ``(updates, weights, *, option=default...)`` from the updates (out, in) that several
    modules make to one linear, and as many numbers, to one update; ``mount.merge`` calls it.

    Raises:
        UserError: no such word, no such function, or one that is no merge.
    """
    if how in COMBINATIONS:
        return COMBINATIONS[how]
    if not is_own(how):
        raise UserError(
            f"{how!r} combines nothing{nearest(how, tuple(COMBINATIONS))}",
            expected=f"one of {', '.join(COMBINATIONS)}, or module.name of your own",
        )
    function = found(how)
    try:
        options = {name: Option(*one) for name, one in options_behind(function, 2).items()}
    except (TypeError, ValueError):
        raise UserError(
            f"{how} is no merge",
            expected="a function (updates, weights, *, option=default), a default being a number or a word",
        ) from None
    return Combination((inspect.getdoc(function) or how).partition("\n")[0], True, _LORA, options)


def is_merge(how: str) -> bool:
    """Whether a word merges modules: one of ours, or a user's own."""
    return how in MERGES or is_own(how)


def option_names(how: str) -> str:
    """The options of ``how`` in words, for messages."""
    return f"options of {how}: {', '.join(combination(how).options) or 'none'}"


def value_problem(how: str, name: str, value: object) -> str | None:
    """Why ``name=value`` is no option of ``how``; None where it is one."""
    return option_problem(how, combination(how).rules, name, value)


def weight_problem(how: str, weight: float | None) -> str | None:
    """Why an operand of ``how`` cannot have this weight; None where it can."""
    if how == "joint":
        return "joint draws tasks by their number of examples, not by weights"
    if how == "fuse":
        return "fuse learns its weights"
    if (
        weight is None
        or isinstance(weight, bool)
        or not math.isfinite(weight)
        or abs(weight) > _LARGEST_WEIGHT
    ):
        return f"a weight must be a number of at most {_LARGEST_WEIGHT:.0f}"
    if abs(weight) < _SMALLEST_WEIGHT:
        return f"an operand of weight {weight:g} does nothing: leave it out"
    if how == "mean" and weight < 0:
        return "the weights of mean are shares and cannot be negative; linear and cat can subtract"
    return None


def nested_problem(how: str, parts: int, single: bool) -> str | None:
    """Why a stack of so many parts, with a single module on top or a combination, cannot be an operand of
    ``how`` where it is of bottlenecks, which are not linear; None where it can."""
    if parts > 1:
        return f"{how} cannot combine a stack of bottleneck modules: what each does depends on those below it"
    if how == "fuse" and not single:
        return "fuse attends over single bottleneck modules, not over a combination of them"
    return None


def non_default(how: str, options: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
    """The options that differ from the defaults, in canonical order and type."""
    result: list[tuple[str, Value]] = []
    for name, option in combination(how).options.items():
        if name in options:
            value = float(options[name]) if isinstance(option.default, float) else options[name]
            if value != option.default:
                result.append((name, value))
    return tuple(result)


def method_problem(how: str, method: Method | None) -> str | None:
    """Why a combination cannot have this method behind it."""
    if method is None or how == "joint":
        return None
    if is_merge(how):
        return f"{how} trains nothing: write the method behind its operands"
    return None if method.name in combination(how).methods else f"{how} cannot take {method.name} modules"


def weight_text(weight: float) -> str:
    """A weight as an expression has it."""
    return str(int(weight)) if float(weight).is_integer() else repr(float(weight))
