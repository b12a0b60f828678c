"""How a study was done, for a paper: a paragraph, data sets with licence and BibTeX, and what made it all."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from xadapt.record.figure import Amount, Entry, Table
from xadapt.record.standard import Manifests
from xadapt.store.integrity import versions
from xadapt.store.store import Store
from xadapt.study.results import Results
from xadapt.study.versions import SCORING_VERSION, TRAINING_VERSION
from xadapt.tasks import CATALOGUE
from xadapt.tasks.bibliography import bibtex, cited

_METHODS = {
    "lora": ("low-rank updates", "Hu et al. 2022"),
    "bottleneck": ("bottleneck adapters", "Houlsby et al. 2019"),
    "full": ("fine-tuned copies of all weights", ""),
}
_COMBINED = {
    "fuse(": "Pfeiffer et al. 2021",
    "lang(": "Pfeiffer et al. 2020",
    "ties(": "Yadav et al. 2023",
    "dare_": "Yu et al. 2024",
}
_STATISTICS = ("Owen 2007", "Efron 1979", "Satterthwaite 1946", "Holm 1979")
READING = (
    "In parentheses and as lines: 95% intervals over seeds and items (of one seed: over items only), "
    "languages and tasks as they are. A difference counts as shown where its interval excludes 0 and, of "
    "several, Holm's method allows it."
)
STATISTICS_TEXT = (
    "Intervals are of 95%. Items are drawn anew 10,000 times, each draw shared by all seeds and by all "
    "test sets of as many items (the pigeonhole bootstrap; Owen 2007), and the percentiles shape the "
    "interval (Efron 1979); the variance between seeds is added, with degrees of freedom after "
    "Satterthwaite (1946), but by the first power of the seeds' share, which is wider. Differences are "
    "paired over seeds and items. Languages, tasks and backbones are kept as they are: nothing is claimed"
    " of others. p is two-sided and, over all gains of one task and metric, adjusted by Holm's method "
    "(1979); a difference counts as shown if its interval excludes 0 and the adjusted p is at most 0.05."
)


def methods_text(results: Results, manifests: Manifests) -> str:
    """The paragraph, from what was run."""
    seeds = sorted({c.seed for c in results.cells})
    parts = [_modules(results, manifests)] if results.modules else []
    parts.append(_scores(results))
    several = "s" * (len(seeds) != 1)
    parts.append(f"Everything is repeated with {len(seeds)} seed{several} ({_listed(map(str, seeds))}).")
    parts.append(STATISTICS_TEXT)
    if len(seeds) == 1:
        parts.append("With one seed, intervals are silent about what another seed would have given.")
    if len(seeds) == 2:
        parts.append("With two seeds, intervals may be too narrow where seeds matter more than items.")
    if results.generated:
        parts.append(
            "The data are generated (the pocket world) and are evidence for nothing about real languages."
        )
    return " ".join(parts)


def _modules(results: Results, found: Mapping[str, Mapping[str, Any]]) -> str:
    methods = dict.fromkeys(str(m["method"]) for m in found.values())
    said = []
    for method in methods:
        words, source = _METHODS.get(method.split("(")[0], (method, ""))
        within = "; ".join(part for part in (method if method != "full" else "", source) if part)
        said.append(f"{words} ({within})" if within else words)
    settings = [
        m["determinants"]["settings"] for m in found.values() if "settings" in m.get("determinants", {})
    ]
    steps = [m["training"]["steps"] for m in found.values() if "steps" in m.get("training", {})]
    text = (
        f"On the frozen encoder {results.backbone} (XLM-R: Conneau et al. 2020), we trained {_listed(said)}"
    )
    if settings:
        batch, rate = (
            _listed(dict.fromkeys(f"{s[key]:g}" for s in settings)) for key in ("batch_size", "lr")
        )
        text += f" with AdamW, batches of {batch} examples and a peak learning rate of {rate}"
    if steps:
        text += f", for {_range(steps)} steps, and kept the weights with the best score on English dev"
        if any("dev_in" in lesson for m in found.values() for lesson in m["determinants"].get("lessons", ())):
            text += " (of running text in another language: on dev text of that language)"
    text += (
        ". A module that stands on others is trained on top of them while they are frozen; modules "
        "are trained in English unless their expression names languages."
    )
    if any("lang(" in c.expr for c in results.cells):
        text += (
            " What stands on lang(...) is trained on the language module of its training data's language "
            "and evaluated on that of the language at hand (MAD-X: Pfeiffer et al. 2020)."
        )
    return text


def _scores(results: Results) -> str:
    said = []
    for task in dict.fromkeys(c.task for c in results.cells):
        cells = [c for c in results.cells if c.task == task]
        languages = len({c.lang for c in cells})
        metrics, splits = (
            _listed(dict.fromkeys(getattr(c, of) for c in cells)) for of in ("metric", "split")
        )
        row = CATALOGUE.get(task)
        source = f"; {row.citation}" if row and row.citation else ""
        sizes = _range([c.n for c in cells])
        plural = "s" * (languages != 1)
        said.append(
            f"{task} ({metrics} on {splits} in {languages} language{plural}, {sizes} items each{source})"
        )
    return f"Targets are evaluated zero-shot: {_listed(said)}. Scores are in points (0 to 100)."


def data_sets(results: Results, manifests: Manifests) -> Table:
    """Every data set that was trained or evaluated on, with its licence and where it is from."""
    used: dict[str, list[str]] = {}
    rows: dict[str, tuple[str, str, str]] = {}
    for manifest in manifests.values():
        about = manifest.get("data", {})
        for name in str(about.get("task", "")).split(" + "):
            used.setdefault(name, []).append("training")
            rows[name] = (about.get("licence", ""), about.get("citation", ""), about.get("url", ""))
    for cell in results.cells:
        used.setdefault(cell.task, []).append("evaluation")
    lines: list[tuple[Entry, ...]] = []
    for name, uses in used.items():
        licence, citation, url = rows.get(name, ("", "", ""))
        if row := CATALOGUE.get(name):
            licence, citation, url = row.licence, row.citation, row.url
        lines.append((name, ", ".join(dict.fromkeys(uses)), licence, citation, url))
    note = ""
    if results.generated:
        note = "Generated in the shape of these: cite them as what they are, not as the data of these scores."
    return Table("Data sets", ("data set", "used for", "licence", "cite", "at"), tuple(lines), note=note)


def bibliography(results: Results, manifests: Manifests) -> str:
    """BibTeX of the data sets and methods used, and of the statistics."""
    citations = [str(row[3]) for row in data_sets(results, manifests).rows]
    methods = {str(m["method"]).split("(")[0] for m in manifests.values()}
    citations += ["Conneau et al. 2020", "Hu et al. 2020"]
    citations += [_METHODS[m][1] for m in sorted(methods) if m in _METHODS and _METHODS[m][1]]
    texts = " ".join(c.expr for c in results.cells)
    citations += [source for word, source in _COMBINED.items() if word in texts]
    return bibtex(one for text in (*citations, *_STATISTICS) for one in cited(text))


def sources(results: Results, store: Store, manifests: Manifests) -> tuple[Table, ...]:
    """Data sets, backbones, data revisions, modules."""
    prints = dict.fromkeys((m["backbone"]["name"], m["backbone"]["fingerprint"]) for m in manifests.values())
    tables = [data_sets(results, manifests)]
    if prints:
        tables.append(Table("Backbones", ("backbone", "SHA-256 of weights and tokenizer"), tuple(prints)))
    if revisions := _revisions(results, store):
        tables.append(
            Table(
                "Revisions of the data that was evaluated on", ("target", "split", "by language"), revisions
            )
        )
    rows: list[tuple[Entry, ...]] = []
    for module in results.modules:
        manifest = manifests.get(module.address)
        if manifest is None:
            continue
        lessons = manifest["determinants"].get("lessons", [])
        read = "; ".join(
            " ".join(f"{k} {v[:12]}" for k, v in lesson.get("train", {}).items()) for lesson in lessons
        )
        dev = manifest.get("dev", {}).get("score")
        rows.append(
            (module.expr, module.seed, module.address, manifest["backbone"]["name"], manifest["method"],
             manifest.get("training", {}).get("steps"), None if dev is None else Amount(dev, f"{dev:.2f}"),
             read, manifest.get("created", "")[:16].replace("T", " "))
        )  # fmt: skip
    columns = (
        "module",
        "seed",
        "address",
        "backbone",
        "method",
        "steps",
        "dev",
        "training data",
        "made",
    )
    return (*tables, Table("Modules", columns, tuple(rows))) if rows else tuple(tables)


def _revisions(results: Results, store: Store) -> tuple[tuple[Entry, ...], ...]:
    by_task: dict[tuple[str, str], dict[str, str]] = {}
    for cell in results.cells:
        revisions = by_task.setdefault((cell.task, cell.split), {})
        if cell.lang not in revisions and cell.key and (kept := store.read_scores(cell.key)):
            revisions[cell.lang] = str(kept.get("about", {}).get("revision", ""))[:12]
    return tuple(
        (task, split, ", ".join(f"{lang} {revision}" for lang, revision in found.items() if revision))
        for (task, split), found in by_task.items()
        if any(found.values())
    )


def versions_now() -> dict[str, str]:
    """Of Python, of what decides weights and scores, and of our own training and scoring."""
    found = {"python": platform.python_version(), **versions()}
    for name in ("numpy", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"training": str(TRAINING_VERSION), "scoring": str(SCORING_VERSION)}


def _listed(words: Iterable[str]) -> str:
    *most, last = list(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
