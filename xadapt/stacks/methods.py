"""Ways to put trainable weights on a backbone, as options with a printable form.

    lora(r=8, alpha=16, dropout=0.0, targets=all, layers=all)
    bottleneck(reduction=4, layers=all, inv=none)
    full
    mine.bitfit(layers=top4)                of a user's own: the function ``bitfit`` of mine.py

Only what differs from the defaults is printed, so two equal methods have one text, and the
text can stand in an address. How a method is mounted is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, Final

from xadapt.common.errors import UserError, nearest
from xadapt.common.own import found, is_own
from xadapt.common.rules import Rule, between, option_problem, options_behind, whole_number
from xadapt.stacks.tokens import Tokens, pointed, read_option

LARGEST_RANK: Final = 1024
LARGEST_ALPHA: Final = 65536
_TOP = re.compile(r"top([1-9][0-9]{0,2})")


def _option(default: Any, rule: Rule) -> Any:
    return field(default=default, metadata={"rule": rule})


def _names_layers(value: object) -> bool:
    return isinstance(value, str) and (value == "all" or _TOP.fullmatch(value) is not None)


def _layers_option() -> Any:
    return _option("all", Rule("'all' or 'topN' such as top4", _names_layers))


_ALPHA = whole_number(1, LARGEST_ALPHA)


@dataclass(frozen=True)
class LoRA:
    """Low-rank updates of linear layers (Hu et al. 2022).

    Attributes:
        r: the rank.
        alpha: the update is scaled by ``alpha / r``; None is filled in as ``2 * r``.
        dropout: on the update's input, in training.
        targets: ``all`` linear layers of a block, or ``qv``: query and value only.
        layers: ``all``, or ``topN`` for the uppermost N.

    Raises:
        UserError: an option has a value that it cannot have; all of them are named.
    """

    name: ClassVar[str] = "lora"
    r: int = _option(8, whole_number(1, LARGEST_RANK))
    # never None once constructed
    alpha: int = _option(None, Rule(_ALPHA.words, lambda v: v is None or _ALPHA.holds(v)))
    dropout: float = _option(0.0, between(0, 0.9))  # what is kept is scaled by 1 / (1 - dropout)
    targets: str = _option("all", Rule("'all' or 'qv'", lambda v: v in ("all", "qv")))
    layers: str = _layers_option()

    def __post_init__(self) -> None:
        _check(self)
        if self.alpha is None:
            object.__setattr__(self, "alpha", 2 * self.r)
        object.__setattr__(self, "dropout", float(self.dropout))

    def __str__(self) -> str:
        return _text(self, {"alpha": 2 * self.r})


@dataclass(frozen=True)
class Bottleneck:
    """A small two-layer network behind each block (Houlsby et al. 2019; Pfeiffer et al. 2021).

    Attributes:
        reduction: the hidden width divided by the bottleneck's width.
        layers: ``all``, or ``topN`` for the uppermost N.
        inv: ``nice`` for an invertible adapter on the embeddings as well (MAD-X, Pfeiffer et al. 2020, arXiv
            2005.00052, section 3.2.3), which a head that names words undoes at the output.

    Raises:
        UserError: an option has a value that it cannot have; all of them are named.
    """

    name: ClassVar[str] = "bottleneck"
    reduction: int = _option(4, whole_number(1, 1024))
    layers: str = _layers_option()
    inv: str = _option("none", Rule("'none' or 'nice'", lambda v: v in ("none", "nice")))

    def __post_init__(self) -> None:
        _check(self)

    def __str__(self) -> str:
        return _text(self, {})


@dataclass(frozen=True)
class Full:
    """Full fine-tuning of a copy of the backbone: the baseline of everything."""

    name: ClassVar[str] = "full"
    layers: ClassVar[str] = "all"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Own:
    """A method of a user's own: a function ``(model, *, option=default...)`` that puts trainable parameters
    on a model and gives them by the names that they are stored under (``mount.own_method``).

    Attributes:
        name: ``module.name`` of the function.
        options: those that differ from the function's defaults, in its order.

    Raises:
        UserError: no such function, or an option that it cannot have.
    """

    name: str = "own"
    options: tuple[tuple[str, Any], ...] = ()
    layers: ClassVar[str] = "all"

    def __post_init__(self) -> None:
        known, given = own_options(self.name), dict(self.options)
        rules = {name: rule for name, (_, rule) in known.items()}
        wrong = [p for n, v in given.items() if (p := option_problem(self.name, rules, n, v))]
        if wrong:
            raise UserError(
                "; ".join(wrong), expected=f"options of {self.name}: {', '.join(known) or 'none'}"
            )
        kept = tuple(
            (name, given[name]) for name, (default, _) in known.items() if given.get(name, default) != default
        )
        object.__setattr__(self, "options", kept)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in self.options)
        return f"{self.name}({inside})" if inside else self.name


def own_options(name: str) -> Mapping[str, tuple[Any, Rule]]:
    """The options of a user's own method, with their defaults. Raises ``UserError`` for what is none."""
    try:
        return options_behind(found(name), 1)
    except (TypeError, ValueError):
        raise UserError(
            f"{name} is no method",
            expected="a function (model, *, option=default), a default being a number or a word",
        ) from None


Method = LoRA | Bottleneck | Full | Own
METHODS: Final[Mapping[str, type[LoRA] | type[Bottleneck] | type[Full]]] = {
    "lora": LoRA,
    "bottleneck": Bottleneck,
    "full": Full,
}


def parse_method(text: str) -> Method:
    """The method that ``text`` names: ``lora``, ``lora(r=16, layers=top4)``, ``full``.

    Raises:
        UserError: with a caret under each place that is wrong.
    """
    tokens = Tokens(text)
    method = read_method(tokens)
    if tokens.peek.kind != "end":
        raise tokens.unexpected("nothing after the method")
    return method


def read_method(tokens: Tokens) -> Method:
    """Take one method from ``tokens``; for grammars that contain methods.

    Raises:
        UserError: as ``parse_method``.
    """
    word = tokens.peek
    if word.kind != "name":
        raise tokens.unexpected(f"a method: {', '.join(METHODS)}")
    if word.text not in METHODS and not is_own(word.text):
        close = nearest(word.text.lower(), tuple(METHODS))
        raise pointed(
            tokens.text, [(word.at, f"{word.text!r} is not a method{close}")], f"one of {', '.join(METHODS)}"
        )
    tokens.take()
    try:
        rules = _rules(METHODS[word.text]) if word.text in METHODS else _own_rules(word.text)
    except UserError as error:
        raise pointed(tokens.text, [(word.at, error.got)], error.expected, error.do) from error
    values: dict[str, int | float | str | None] = {}
    problems: list[tuple[int, str]] = []
    if tokens.accept("("):
        while not tokens.accept(")"):
            if values or problems:
                tokens.expect(",", "between options, or ')' after the last")
            name, value = read_option(tokens, "r=8")
            option = name.text
            if option in values:
                problems.append((name.at, f"{option!r} is given twice"))
            elif what := option_problem(word.text, rules, option, value):
                problems.append((name.at, what))
            values.setdefault(option, value)
    if problems:
        options = ", ".join(rules) or "none"
        raise pointed(tokens.text, problems, f"options of {word.text}: {options}")
    if is_own(word.text):
        return Own(word.text, tuple(values.items()))
    return METHODS[word.text](**values)  # type: ignore[arg-type]  # each value has passed its option's rule


def inverts(method: Method) -> bool:
    """Whether a module of ``method`` has an invertible adapter on the embeddings."""
    return isinstance(method, Bottleneck) and method.inv != "none"


def layer_range(layers: str, n_layers: int) -> range:
    """The layers that ``layers`` means in a backbone of ``n_layers``: top4 of 12 is 8..11.

    Raises:
        UserError: the backbone has fewer layers.
    """
    if layers == "all":
        return range(n_layers)
    match = _TOP.fullmatch(layers)
    if not match or int(match[1]) > n_layers:
        raise UserError(
            f"layers={layers} on a backbone of {n_layers} layers",
            expected=f"all, or top1 to top{n_layers}",
            do="change the method's option 'layers', or take a deeper backbone",
        )
    return range(n_layers - int(match[1]), n_layers)


def layers_left(acting: Set[int], drop: str, dropped: range, n_layers: int) -> set[int]:
    """The layers that something acts in after ``drop``, an expression, takes the layers ``dropped`` away.

    Args:
        acting: the layers that it acts in before, from 0.
        n_layers: of the backbone.

    Raises:
        UserError: the backbone does not have the dropped layers, or no layer is left.
    """
    if dropped.stop > n_layers:
        raise UserError(
            f"{drop} on a backbone of {n_layers} layers", expected=f"layers from 0 to {n_layers - 1}"
        )
    left = set(acting) - set(dropped)
    if not left:
        raise UserError(f"{drop} leaves nothing of it", expected="at least one layer with a module")
    return left


def _own_rules(name: str) -> dict[str, Rule]:
    return {option: rule for option, (_, rule) in own_options(name).items()}


def _rules(cls: type[LoRA] | type[Bottleneck] | type[Full]) -> dict[str, Rule]:
    options: tuple[Field[Any], ...] = fields(cls)
    return {f.name: f.metadata["rule"] for f in options}


def _check(method: LoRA | Bottleneck) -> None:
    """Raise one UserError for all options of ``method`` that break their rule."""
    wrong = [
        (f"{name}={getattr(method, name)!r}", f"{name} {rule.words}")
        for name, rule in _rules(type(method)).items()
        if not rule.holds(getattr(method, name))
    ]
    if wrong:
        raise UserError(
            f"{method.name} with " + ", ".join(got for got, _ in wrong),
            expected="; ".join(expected for _, expected in wrong),
        )


def _text(method: LoRA | Bottleneck, derived: Mapping[str, int]) -> str:
    """The canonical text; ``derived`` has the defaults that depend on other options."""
    options: tuple[Field[Any], ...] = fields(method)
    given = [
        f"{f.name}={getattr(method, f.name)}"
        for f in options
        if getattr(method, f.name) != derived.get(f.name, f.default)
    ]
    return f"{method.name}({', '.join(given)})" if given else method.name
