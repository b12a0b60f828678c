"""Random expressions that mean something, for property tests."""

from collections.abc import Iterable, Iterator
from functools import cache

from hypothesis import strategies as st

from xadapt.stacks.combinations import COMBINATIONS, KEYWORDS, MERGES
from xadapt.stacks.methods import METHODS, Bottleneck, Full, LoRA, Method
from xadapt.stacks.places import Node
from xadapt.stacks.stack import Combined, Dropped, Operand, Part, Stack, is_fuse, trains
from xadapt.stacks.term import Term

layers = st.just("all") | st.integers(1, 48).map("top{}".format)
loras = st.builds(
    LoRA,
    r=st.integers(1, 1024),
    alpha=st.none() | st.integers(1, 65536),
    dropout=st.floats(0, 0.9),
    targets=st.sampled_from(["all", "qv"]),
    layers=layers,
)
bottlenecks = st.builds(Bottleneck, reduction=st.integers(1, 1024), layers=layers)
methods = loras | bottlenecks | st.just(Full())
FAMILIES: dict[str, st.SearchStrategy[Method]] = {
    "lora": loras,
    "bottleneck": bottlenecks,
    "full": st.just(Full()),
}
names = (
    st.text("abz_019", min_size=1, max_size=9)
    .map("t{}".format)
    .filter(lambda n: n not in (*KEYWORDS, *METHODS))
)
sizes = st.none() | st.integers(1, 10**9)
languages = st.lists(
    st.sampled_from(["de", "en", "ru", "zh", "zh-Hant", "es-419"]), unique=True, max_size=3
).map(tuple)
weights = st.floats(0.01, 1e6) | st.integers(1, 1000)
OPTIONS: dict[str, st.SearchStrategy] = {
    "cap": st.integers(1, 10**9),
    "temperature": st.floats(0.1, 1000) | st.integers(1, 1000),
    "density": st.floats(0.001, 1) | st.just(1),
    "majority_sign_method": st.sampled_from(["total", "frequency"]),
    "rank": st.integers(1, 1024),
}


@cache
def terms(family: str) -> st.SearchStrategy[Term]:
    return st.builds(Term, names, sizes, st.none() | FAMILIES[family], languages)


@cache
def _options(how: str) -> st.SearchStrategy[tuple]:
    possible = {name: OPTIONS[name] for name in COMBINATIONS[how].options}
    return st.fixed_dictionaries({}, optional=possible).map(lambda d: tuple(d.items()))


@cache
def joints(family: str) -> st.SearchStrategy[Combined]:
    data = st.builds(Term, names, sizes, st.none(), languages).map(lambda t: Operand(Stack((t,))))
    several = st.lists(data, min_size=1, max_size=3, unique_by=lambda o: o.stack.target.task)
    return st.builds(
        Combined, st.just("joint"), several.map(tuple), _options("joint"), st.none() | FAMILIES[family]
    )


def _merges(family: str, inside: st.SearchStrategy[Part]) -> st.SearchStrategy[Combined]:
    """One strategy a merge, made once: drawing is what happens often."""
    stack = _chains(inside, family)
    shares = st.builds(Operand, stack, st.just(1) | weights)
    signed = st.builds(Operand, stack, st.just(1) | weights | weights.map(lambda w: -w))

    def of(how: str) -> st.SearchStrategy[Combined]:
        operand = shares if how == "mean" else signed
        operands = st.lists(operand, min_size=1, max_size=3, unique_by=lambda o: o.stack).map(tuple)
        return st.builds(Combined, st.just(how), operands, _options(how))

    return st.one_of([of(how) for how in MERGES if family in COMBINATIONS[how].methods])


@cache
def _fuses(family: str) -> st.SearchStrategy[Combined]:
    # What bottlenecks do depends on those below them: only single ones can be fused.
    single = terms(family) | joints(family)
    operand = _chains(single | _drops(single) if family == "bottleneck" else parts(family), family).map(
        Operand
    )
    several = st.lists(operand, min_size=1, max_size=3, unique_by=lambda o: o.stack)
    return several.map(lambda many: Combined("fuse", tuple(many)))


def _chains(inside: st.SearchStrategy[Part], family: str) -> st.SearchStrategy[Stack]:
    longest = 1 if family == "bottleneck" else 2
    return st.lists(inside, min_size=1, max_size=longest).map(lambda many: Stack(tuple(many)))


def _drops(inside: st.SearchStrategy) -> st.SearchStrategy[Dropped]:
    pairs = st.tuples(st.integers(0, 40), st.integers(0, 20))
    return st.builds(lambda part, at: Dropped(part, at[0], sum(at)), inside, pairs)


def _can_drop(part: Part) -> bool:
    return not isinstance(part, Dropped) and "full" not in str(part)


@cache
def parts(family: str) -> st.SearchStrategy[Part]:
    """Parts without a fuse, nested."""
    return st.recursive(
        terms(family) | joints(family),
        lambda inside: _merges(family, inside) | _drops(inside.filter(_can_drop)),
        max_leaves=5,
    )


@st.composite
def stacks(draw: st.DrawFn, *, task_on_top: bool = False) -> Stack:
    """Full copies lowest, then LoRA and bottleneck in any order; a fuse below what can train."""
    family = st.sampled_from(["lora", "bottleneck"])
    result: list[Part] = list(draw(st.lists(parts("full"), max_size=1)))
    for one in draw(st.lists(family, min_size=not result, max_size=3)):
        part = draw(parts(one))
        base = part.part if isinstance(part, Dropped) else part
        if trains(base) and draw(st.booleans()) and "full" not in str(base):
            result.append(draw(_fuses(one)))
            if draw(st.booleans()):
                result[-1] = draw(_drops(st.just(result[-1])))
        result.append(part)
    if task_on_top:
        result.append(draw(terms(draw(family))))
    elif draw(st.booleans()) and not is_fuse(result[-1]):
        result.append(draw(_fuses(draw(family))))
    return Stack(tuple(result))


def prefixes(stack: Stack) -> tuple[Stack, ...]:
    """Every stack on the way up, the whole one last."""
    return tuple(Stack(stack.parts[: n + 1]) for n in range(len(stack)))


def flat(found: Iterable[Node]) -> Iterator[Node]:
    """Every node of a stack, operands before what they are part of."""
    for node in found:
        for branch in node.branches:
            yield from flat(branch.nodes)
        yield node
