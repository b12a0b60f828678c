"""The main job, end to end, on a folder of a few files and a random encoder."""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import save_tiny, tiny_backbone

from xadapt.backbone.backbone import Backbone
from xadapt.common.arrays import from_text
from xadapt.common.errors import UserError
from xadapt.data.folder import Folder
from xadapt.data.sources import open_source
from xadapt.kinds.metrics import score_of
from xadapt.report.tables import as_json, brief
from xadapt.stacks.methods import Method, parse_method
from xadapt.store.store import Store
from xadapt.study.plan import Overrides, Plan, make_plan
from xadapt.study.results import Results
from xadapt.study.run import run
from xadapt.study.sizes import facts_of
from xadapt.study.study import Study
from xadapt.tasks import File, Task

FAST = Overrides(max_steps=6, batch_size=8)


def plan(
    world: Path, backbone: Backbone, *expressions: str, method: str | Method = "lora", **options: object
) -> Plan:
    chosen = parse_method(method) if isinstance(method, str) else method
    return make_plan(
        expressions,
        backbone=backbone,
        source=open_source(str(world / "xtreme")),
        method=chosen,
        **({"overrides": FAST} | options),  # type: ignore[arg-type]
    )


def scores(results: Results) -> list[tuple[str, int, str, str, float]]:
    return [(c.expr, c.seed, c.lang, c.metric, c.score) for c in results.cells]


@pytest.mark.parametrize("method", ["lora", "bottleneck", "full"])
def test_every_kind_runs_in_every_language_and_a_second_run_trains_nothing(
    world: Path, backbone: Backbone, tmp_path: Path, method: str
) -> None:
    made = plan(
        world, backbone, "xnli", "mnli > xnli", "udpos", "xquad", "tatoeba", "mnli > tatoeba", method=method
    )
    first = run(made, Store(tmp_path))
    assert [m.expr for m in first.modules] == ["xnli", "mnli", "mnli > xnli", "udpos", "xquad"]
    assert all(m.trained for m in first.modules)
    languages = {(c.task, c.lang) for c in first.cells}
    assert languages == {
        *(("xnli", lang) for lang in ("de", "en", "es")),
        *((task, lang) for task in ("udpos", "xquad") for lang in ("de", "en")),
        ("tatoeba", "de"),
    }
    assert all(0 <= c.score <= 100 and c.n > 0 for c in first.cells)
    for cell in (tmp_path / "cells").rglob("*.json"):
        cell.unlink()  # modules read back from disk give the scores that they gave when they were trained
    again = run(made, Store(tmp_path))
    assert not any(m.trained for m in again.modules)
    assert scores(again) == scores(first)
    assert all(check.problem is None for check in Store(tmp_path).verify())
    backbone.verify()


@pytest.mark.parametrize(("width", "rate"), [(192, 3e-3), (384, 2e-3), (768, 3e-4)])
def test_the_learning_rate_is_one_that_was_tried_at_the_encoders_width(
    world: Path, width: int, rate: float
) -> None:
    made = plan(world, tiny_backbone(hidden_size=width, num_hidden_layers=1), "xnli")
    assert made.modules[0].settings.lr == rate


@pytest.mark.parametrize("seed", [-1, 10**9, 10**5000, True, 1.0], ids=["-1", "1e9", "1e5000", "True", "1.0"])
def test_a_seed_is_refused_before_anything_is_planned(world: Path, backbone: Backbone, seed: int) -> None:
    with pytest.raises(UserError, match="a whole number from 0 to 999999999") as caught:
        plan(world, backbone, "xnli", seeds=[0, seed])
    assert len(str(caught.value)) < 200


def test_a_module_is_shared_by_all_stacks_that_stand_on_it(world: Path, backbone: Backbone) -> None:
    made = plan(world, backbone, "mnli > xnli", "mnli > udpos", "mnli > tatoeba", "mnli > mnli > xnli")
    assert [m.shown for m in made.modules] == [
        "mnli",
        "mnli > xnli",
        "mnli > udpos",
        "mnli > mnli",
        "mnli > mnli > xnli",
    ]


def test_the_address_follows_from_what_determines_the_weights_and_nothing_else(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    def address(*expression: str, **options: object) -> str:
        return plan(world, backbone, *expression, **options).modules[-1].address

    base = address("xnli")
    moved = tmp_path / "elsewhere"
    (world / "xtreme").rename(moved)
    try:
        same = make_plan(
            ["xnli"],
            backbone=backbone,
            source=Folder(moved, None),
            method=parse_method("lora(r=8)"),
            languages=["de"],
            overrides=FAST,
        )
    finally:
        moved.rename(world / "xtreme")
    assert same.modules[-1].address == base
    others = {
        address("xnli[20]"),
        address("xnli@lora(r=4)"),
        address("mnli > xnli"),
        address("xnli", seeds=[1]),
        address("xnli", method="bottleneck"),
        address("xnli", overrides=Overrides(max_steps=7)),
        address("xnli", overrides=Overrides(max_steps=6, batch_size=8, lr=1e-4)),
        address("udpos"),
    }
    assert base not in others
    assert len(others) == 8


def test_tasks_that_train_the_same_share_one_module(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    """Whatever the target is called: XQuAD and MLQA are trained on SQuAD."""
    made = plan(world, backbone, "xquad", "mlqa", "squad_v1 > mlqa", "squad_v1[5] > udpos", "mlqa[5]")
    assert [m.shown for m in made.modules] == [
        "xquad",
        "squad_v1 > mlqa",
        "squad_v1[5]",
        "squad_v1[5] > udpos",
    ]
    results = run(made, Store(tmp_path), baselines=False)
    of = {(c.expr, c.lang, c.metric): c.score for c in results.cells}
    assert of["mlqa", "en", "f1"] == of["xquad", "en", "f1"], "the same questions here"


STANCE = Task(
    "stance",
    kind="classify",
    role="target",
    summary="for or against",
    languages=("en", "de"),
    train="stance",
    metrics=("accuracy",),
    labels=("for", "against"),
    max_length=32,
    files={
        split: (File(path, "table", {"columns": {"text": "a", "pair": "b", "label": "c"}}),)
        for split, path in (
            ("train", "stance/train.tsv"),
            ("dev", "stance/dev.tsv"),
            ("test", "stance/{lang}.tsv"),
        )
    },
)


def run_row(row: Task, backbone: Backbone, root: Path, expression: str = "") -> Results:
    """A user's task, trained and scored; its files are written where they are not there yet."""
    (root / "stance").mkdir(exist_ok=True)
    for name in ("train.tsv", "dev.tsv", "de.tsv"):
        rows = [f"the man {i}\tthe apple {i}\t{('for', 'against')[i % 2]}" for i in range(30)]
        (root / "stance" / name).write_text("\n".join(["a\tb\tc", *rows]))
    catalogue = {row.name: row}
    made = make_plan(
        [expression or row.name],
        backbone=backbone,
        source=Folder(root, catalogue=catalogue),
        method=parse_method("lora"),
        overrides=FAST,
        catalogue=catalogue,
    )
    return run(made, Store(root / "store"), baselines=False)


def cells_in(root: Path) -> int:
    return len(list((root / "store" / "cells").rglob("*.json")))


def _read_otherwise(row: Task) -> Task:
    other = {"columns": {"text": "b", "pair": "a", "label": "c"}}
    return replace(row, files={k: (replace(f, options=other),) for k, (f,) in row.files.items()})


@pytest.mark.parametrize(
    "changed",
    [
        _read_otherwise(STANCE),
        replace(STANCE, labels=("against", "for")),
        replace(STANCE, metrics=("f1", "accuracy")),
    ],
    ids=["columns", "labels", "first metric"],
)
def test_what_is_read_otherwise_is_trained_and_scored_anew(
    backbone: Backbone, tmp_path: Path, changed: Task
) -> None:
    run_row(STANCE, backbone, tmp_path)
    before = cells_in(tmp_path)
    again = run_row(changed, backbone, tmp_path)
    assert [m.trained for m in again.modules] == [True]
    assert {c.metric for c in again.cells} == set(changed.metrics)
    assert cells_in(tmp_path) == 2 * before


def test_a_further_metric_is_scored_and_nothing_is_trained(backbone: Backbone, tmp_path: Path) -> None:
    run_row(STANCE, backbone, tmp_path)
    again = run_row(replace(STANCE, metrics=("accuracy", "f1")), backbone, tmp_path)
    assert [m.trained for m in again.modules] == [False]
    assert {c.metric for c in again.cells} == {"accuracy", "f1"}


def test_a_name_and_what_is_said_of_a_task_determine_nothing(backbone: Backbone, tmp_path: Path) -> None:
    """Not even which examples a size takes."""
    first = run_row(STANCE, backbone, tmp_path, "stance[10]")
    renamed = replace(STANCE, name="position", train="position", summary="pro or contra", licence="CC0")
    again = run_row(renamed, backbone, tmp_path, "position[10]")
    assert [m.trained for m in again.modules] == [False]
    assert [c.score for c in again.cells] == [c.score for c in first.cells]
    (elsewhere := tmp_path / "elsewhere").mkdir()
    run_row(renamed, backbone, elsewhere, "position[10]")
    address = first.modules[0].address
    weights = [Store(root / "store").load(address).weights for root in (tmp_path, elsewhere)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


@pytest.mark.parametrize("method", ["lora", "bottleneck"])
def test_first_weights_follow_from_the_seed_and_the_task(
    world: Path, backbone: Backbone, tmp_path: Path, method: str
) -> None:
    """Neither from what the module stands on nor from a setting, so that comparisons are of pairs."""

    def started(expression: str, *, seed: int = 0, lr: float = 1e-4) -> dict[str, torch.Tensor]:
        """After one step, which at this rate changes next to nothing."""
        few = Overrides(max_steps=1, lr=lr)
        made = plan(world, backbone, expression, method=method, seeds=[seed], overrides=few)
        trained = run(made, Store(tmp_path), baselines=False).modules[-1]
        saved = Store(tmp_path).load(trained.address)
        return {k: t for k, t in (saved.weights | saved.head).items() if "fusion" not in k}

    def alike(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
        return a.keys() == b.keys() and all(torch.allclose(a[k], b[k], rtol=0, atol=1e-3) for k in a)

    base = started("xnli")
    assert alike(base, started("mnli > xnli"))
    assert alike(base, started("fuse(mnli, udpos) > xnli"))
    assert alike(base, started("xnli", lr=2e-4))
    assert alike(base, started("xnli[20]"))
    assert not alike(base, started("xnli", seed=1))
    other = started("udpos")
    name = next(k for k in base if "lora_A" in k or "adapter_down.0.weight" in k)
    assert not torch.allclose(base[name], other[name], rtol=0, atol=1e-3)


def test_a_chain_of_a_thousand_modules_is_planned_in_seconds(world: Path, backbone: Backbone) -> None:
    began = time.process_time()
    made = plan(world, backbone, " > ".join(["mnli"] * 1000 + ["xnli"]))
    assert len(made.modules) == 1001
    assert time.process_time() - began < 20  # a second or two; it grew with the cube of the length
    assert len(brief(made.modules[-1].need.shown)) < 60


def test_another_backbone_is_another_address(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    other = Backbone.from_pretrained(str(save_tiny(tmp_path, seed=1)))
    assert plan(world, other, "xnli").modules[0].address != plan(world, backbone, "xnli").modules[0].address


def test_seeds_give_different_modules_and_sizes_take_fewer_examples(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    results = run(plan(world, backbone, "xnli[10]", seeds=[0, 1]), Store(tmp_path), baselines=False)
    assert [m.seed for m in results.modules] == [0, 1]
    manifests = [Store(tmp_path).load(m.address).manifest for m in results.modules]
    assert [m["data"]["examples"] for m in manifests] == [10, 10]
    weights = [Store(tmp_path).load(m.address).weights for m in results.modules]
    assert any(not torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_the_manifest_says_what_made_the_module(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    results = run(plan(world, backbone, "mnli > xnli"), Store(tmp_path), baselines=False)
    manifest = Store(tmp_path).load(results.modules[-1].address).manifest
    assert manifest["expression"] == "mnli@lora > xnli@lora"
    assert manifest["backbone"]["fingerprint"] == backbone.fingerprint
    assert manifest["labels"] == ["entailment", "neutral", "contradiction"]
    assert manifest["determinants"]["below"] == results.modules[0].address
    assert manifest["dev"]["metric"] == "accuracy"


def test_json_has_the_documented_fields(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    content = as_json(run(plan(world, backbone, "xquad"), Store(tmp_path)))
    assert {"backbone", "data", "cells", "modules"} <= content.keys()
    cells, modules = content["cells"], content["modules"]
    assert isinstance(cells, list)
    assert isinstance(modules, list)
    fields = {"expr", "seed", "task", "lang", "split", "metric", "score", "n"}
    assert all(fields <= cell.keys() for cell in cells)
    assert {cell["metric"] for cell in cells} == {"f1", "exact_match"}
    assert {"expr", "seed", "trained", "seconds", "parameters", "bytes"} <= modules[0].keys()


def test_an_altered_module_is_refused(world: Path, backbone: Backbone, tmp_path: Path) -> None:
    made = plan(world, backbone, "xnli")
    run(made, Store(tmp_path), baselines=False)
    weights = next((tmp_path / "modules").rglob("adapter_model.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    for cell in (tmp_path / "cells").rglob("*.json"):
        cell.unlink()
    with pytest.raises(UserError, match="adapter_model"):
        run(made, Store(tmp_path), baselines=False)


def test_modules_that_are_not_mounted_are_described_by_their_manifests_alone(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    made, store = plan(world, backbone, "fuse(mnli, udpos) > xnli"), Store(tmp_path)
    first = run(made, store, baselines=False)
    facts = facts_of(made, store, made.evaluations[0])
    for path in (tmp_path / "modules").rglob("head.safetensors"):
        path.unlink()
    again = run(made, store, baselines=False)
    assert scores(again) == scores(first)
    assert [replace(m, trained=True) for m in again.modules] == list(first.modules)
    assert facts_of(made, store, made.evaluations[0]) == facts
    assert {m.bytes for m in again.modules} == {info.bytes for info in store.modules()}
    manifest = next((tmp_path / "modules").rglob("manifest.json"))
    manifest.write_text(manifest.read_text().replace("parameters", "parametres"))
    with pytest.raises(UserError, match="manifest was altered"):
        run(made, store, baselines=False)


def test_all_problems_of_a_plan_are_named_at_once(world: Path, backbone: Backbone) -> None:
    with pytest.raises(UserError) as caught:
        plan(world, backbone, "mnly > xnli", "tatoeba > xnli", "mnli", "panx", "squad_v2 > xquad")
    message = str(caught.value)
    for part in (
        "did you mean 'mnli'",
        "put tatoeba last",
        "mnli is an intermediate task",
        "panx",
        "squad_v2",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("expressions", "options", "says"),
    [
        (["xnli"], {"languages": ["de", "xx"]}, "xx"),
        (["xnli[100000]"], {}, "there are 36 training examples"),
        (["xnli@lora(layers=top9)"], {}, "9"),
        ([], {}, "no expression"),
    ],
)
def test_what_cannot_be_had(
    world: Path, backbone: Backbone, tmp_path: Path, expressions: list[str], options: dict, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        run(plan(world, backbone, *expressions, **options), Store(tmp_path))


def _run_in_process(world: Path, store: Path, queue: multiprocessing.Queue) -> None:
    backbone = Backbone.from_pretrained(str(world / "backbone"))
    results = run(plan(world, backbone, "mnli > xnli"), Store(store), baselines=False)
    queue.put(([m.trained for m in results.modules], scores(results)))


def test_two_runs_that_need_the_same_modules_train_each_once(world: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_run_in_process, args=(world, tmp_path, queue)) for _ in range(2)]
    for process in processes:
        process.start()
    (trained_a, scores_a), (trained_b, scores_b) = (queue.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    assert [a + b for a, b in zip(trained_a, trained_b, strict=True)] == [1, 1]
    assert scores_a == scores_b


def test_each_item_of_a_cell_is_kept(world: Path, tmp_path: Path) -> None:
    backbone, data, store = str(world / "backbone"), str(world / "xtreme"), Store(tmp_path)
    study = Study(["xnli", "udpos", "tatoeba", "xquad"], backbone, data, store=store, max_steps=1)
    cells = study.run().cells
    assert {(c.task, c.metric) for c in cells} >= {("udpos", "f1"), ("xquad", "exact_match")}
    for cell in cells:
        counts = from_text(store.read_scores(cell.key)["counts"][cell.metric])
        assert counts.shape == (cell.n, 2)
        assert score_of(counts) == cell.score
        assert (cell.backbone, cell.data, cell.method) == (backbone, data, "lora")


def test_a_sample_of_the_items_is_evaluated_and_is_a_score_of_its_own(world: Path, tmp_path: Path) -> None:
    study = Study(["xnli"], str(world / "backbone"), str(world / "xtreme"), store=tmp_path, max_steps=1)
    every, few = study.run(), replace(study, items=4).run()
    assert {c.n for c in few.cells} == {4}
    assert {c.n for c in every.cells} == {9}
    assert not any(m.trained for m in few.modules)
    assert {c.key for c in few.cells}.isdisjoint(c.key for c in every.cells)


def test_what_needs_no_model_is_scored_on_the_same_items(
    world: Path, backbone: Backbone, tmp_path: Path
) -> None:
    whole, few = (
        run(plan(world, backbone, "xnli", items=items), Store(tmp_path)).baselines for items in (None, 4)
    )
    assert {b.n for b in few} == {4}
    assert {b.n for b in whole} == {9}
    assert {(b.name, b.lang) for b in few} == {(b.name, b.lang) for b in whole}
