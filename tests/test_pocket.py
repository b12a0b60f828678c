"""The pocket world: its text, its tasks, its tokenizer, its checkpoint and the script that makes it."""

from __future__ import annotations

import hashlib
import io
import json
import random
from dataclasses import replace
from pathlib import Path

import masking
import numpy as np
import pretrain
import pytest
import torch
from corpus import Corpus
from recipe import SIZES
from rich.console import Console
from sklearn.linear_model import LogisticRegression
from tiny import tiny_backbone
from transformers import AutoTokenizer, XLMRobertaModel
from vocabulary import train_tokenizer

from xadapt.backbone.backbone import POCKETS
from xadapt.common.errors import UserError
from xadapt.data.pocket.derive import SHAPES
from xadapt.data.pocket.frames import NP, Frame, Sampler, split_of
from xadapt.data.pocket.grammar import Form, Grammar
from xadapt.data.pocket.lexicon import LANGUAGES, read_lexicon
from xadapt.data.pocket.making import Maker
from xadapt.data.pocket.phrases import spell
from xadapt.data.pocket.reading import answers_to
from xadapt.data.pocket.source import Pocket
from xadapt.report.tables import print_results
from xadapt.stacks.methods import parse_method
from xadapt.store.store import Store
from xadapt.study.plan import make_plan
from xadapt.study.run import run
from xadapt.tasks.examples import Classified, Example, Extracted, Paired, Tagged

MODEL = POCKETS["pocket"]
UD = {
    "NOUN", "VERB", "ADJ", "ADV", "PROPN", "DET", "ADP", "PRON", "AUX", "CCONJ", "PART", "PUNCT",
}  # fmt: skip
needs_model = pytest.mark.skipif(not (MODEL / "model.safetensors").exists(), reason="no checkpoint built")


@pytest.fixture(scope="module")
def pocket() -> Pocket:
    return Pocket()


def texts(example: Example) -> str:
    """Everything that a model would read."""
    return repr([getattr(example, f) for f in example.__slots__ if f != "id"])


# --- grammar --------------------------------------------------------------------------------------
def test_sentences_by_eye() -> None:
    lexicon = read_lexicon()
    frame = Frame("eat", NP("woman", "old"), NP("apple", "red"), place=NP("garden"), time="evening")
    plain = {lang: spell(Grammar(lang, lexicon).sentence(frame))[0] for lang in LANGUAGES}
    assert plain == {
        "en": "the old woman eats the red apple in the garden in the evening.",
        "de": "die alte Frau isst am Abend den roten Apfel in dem Garten.",
        "es": "la mujer vieja come la manzana roja en el jardín por la tarde.",
        "ru": "старая женщина ест красное яблоко в саду вечером.",
        "tr": "yaşlı kadın akşamleyin bahçede kırmızı elmayı yiyor.",
        "sw": "mwanamke mzee anakula tufaha jekundu katika bustani jioni.",
        "hi": "बूढ़ी औरत शाम को बगीचे में लाल सेब खाती है।",
    }
    asked = {lang: spell(Grammar(lang, lexicon).sentence(frame, Form(ask="place")))[0] for lang in LANGUAGES}
    assert asked["de"] == "wo isst die alte Frau am Abend den roten Apfel?"
    assert asked["es"].startswith("¿dónde come la mujer vieja")
    assert asked["tr"] == "yaşlı kadın akşamleyin kırmızı elmayı nerede yiyor?"
    passive = spell(Grammar("sw", lexicon).sentence(frame, Form(object_first=True, negated=True)))[0]
    assert passive.startswith("tufaha jekundu haliliwi na mwanamke mzee")


def test_lexicon_is_whole() -> None:
    lexicon = read_lexicon()
    assert len(lexicon.concepts) > 300
    for concept in lexicon.concepts.values():
        missing = [lang for lang in LANGUAGES if not concept.words[lang]]
        assert missing == (["tr"] if concept.name == "is_a" else []), concept.name
        assert concept.kind not in ("being", "thing", "place") or concept.isa in ("-", *lexicon.concepts)
    for adjective in lexicon.by_kind["adj"]:
        assert lexicon.rivals(adjective), adjective
    Sampler(lexicon, random.Random(0))  # every name in the verbs' lists resolves


# --- tasks ----------------------------------------------------------------------------------------
SINGLE = [task for task, shape in SHAPES.items() if shape.draw is not None]


@pytest.mark.parametrize("task", [*SINGLE, "tatoeba"])
def test_items_are_determined_and_well_formed(pocket: Pocket, task: str) -> None:
    for split in SHAPES[task].sizes:
        language = pocket.languages(task, split)[-1]
        items = pocket.load(task, language, split, size=60)
        assert (
            items
            == pocket.load(task, language, split, size=60)
            == pocket.load(task, language, split, 90)[:60]
        )
        assert len({e.id for e in items}) == 60
        for item in items:
            if isinstance(item, Extracted):
                assert item.answers is not None
                for answer in item.answers:
                    end = answer.start + len(answer.text)
                    assert item.context[answer.start : end] == answer.text
                    assert answer.text == answer.text.strip(" .?।")
                assert item.answers or task == "squad_v2"
            if isinstance(item, Tagged):
                assert item.tags is not None
                assert len(item.words) == len(item.tags)
                assert all(w and " " not in w for w in item.words)
                if task == "udpos":
                    assert set(item.tags) <= UD


@pytest.mark.parametrize(
    "task", ["xnli", "pawsx", "xquad", "mlqa", "tydiqa", "xcopa", "udpos", "panx", "tatoeba"]
)
def test_tests_are_parallel(pocket: Pocket, task: str) -> None:
    columns = [pocket.load(task, lang, "test", size=80) for lang in pocket.languages(task, "test")]
    for row in zip(*columns, strict=True):
        assert len({e.id for e in row}) == 1
        first = row[0]
        if isinstance(first, Classified):
            assert len({e.label for e in row if isinstance(e, Classified)}) == 1
        if isinstance(first, Paired):
            assert len({e.target for e in row if isinstance(e, Paired)}) == 1
        if task == "panx":  # the same entities, whatever the order
            bags = {
                tuple(sorted(t for t in e.tags or () if t[0] == "B")) for e in row if isinstance(e, Tagged)
            }
            assert len(bags) == 1


@pytest.mark.parametrize("task", [t for t in SINGLE if len(SHAPES[t].sizes) > 1])
def test_splits_are_disjoint(pocket: Pocket, task: str) -> None:
    splits = [{texts(e) for e in pocket.load(task, "en", s, size=700)} for s in SHAPES[task].sizes]
    for i, one in enumerate(splits):
        for other in splits[i + 1 :]:
            assert not one & other


def test_frames_belong_to_one_split() -> None:
    lexicon = read_lexicon()
    for split in ("train", "dev", "test"):
        sampler = Sampler(lexicon, random.Random(1), split)
        for _ in range(300):
            frame = sampler.draw()
            assert split_of(frame) == split
            assert split_of(frame.put("time", None).put("manner", None)) == split


def test_pretraining_text_has_no_test_frame() -> None:
    """Whatever a document tells is drawn from training frames; changed frames are checked again."""
    corpus = Corpus(read_lexicon(), random.Random(2))
    for _ in range(500):
        first = corpus.sampler.draw()
        assert all(split_of(f) == "train" for f in corpus.story(first))


def test_one_sentence_answers_each_question(pocket: Pocket) -> None:
    frame = Frame("eat", NP("dog"), NP("meat"), place=NP("house"))
    assert answers_to(frame, frame.put("place", None), "object")
    assert not answers_to(frame, frame.put("agent", NP("cat")), "object")
    shares = [bool(e.answers) for e in pocket.load("squad_v2", "en", "dev") if isinstance(e, Extracted)]
    assert 0.6 < np.mean(shares) < 0.73


def overlap(items: list[Classified]) -> np.ndarray:
    """(N, 6) how alike the two texts are, in words."""
    rows = []
    for e in items:
        a, b = set(e.text.rstrip(".।").split()), set((e.pair or "").rstrip(".।").split())
        same = len(a & b)
        rows.append([same / len(b), same / len(a), same / len(a | b), len(b - a), len(a), len(b)])
    return np.array(rows, dtype=float)


def test_overlap_and_hypothesis_alone_say_little(pocket: Pocket) -> None:
    for task, bound in (("xnli", 0.52), ("pawsx", 0.58)):
        train = [e for e in pocket.load(task, "en", "train", 4000) if isinstance(e, Classified)]
        features = overlap(train)
        mean, spread = features.mean(0), features.std(0)
        fitted = LogisticRegression(max_iter=2000).fit((features - mean) / spread, [e.label for e in train])
        scores = []
        for lang in LANGUAGES:
            test = [e for e in pocket.load(task, lang, "test", 500) if isinstance(e, Classified)]
            scores.append(fitted.score((overlap(test) - mean) / spread, [e.label for e in test]))
        assert scores[0] < bound
        assert np.mean(scores) < bound
        for label in {e.label for e in train}:  # balanced
            assert abs(np.mean([e.label == label for e in train]) - 1 / len({e.label for e in train})) < 0.04


def test_hypernyms_in_both_premise_and_hypothesis(pocket: Pocket) -> None:
    """Content words of the hypothesis alone stay near a third."""
    from sklearn.feature_extraction.text import CountVectorizer

    train = [e for e in pocket.load("xnli", "en", "train", 6000) if isinstance(e, Classified)]
    test = [e for e in pocket.load("xnli", "en", "test") if isinstance(e, Classified)]
    words = CountVectorizer(binary=True)
    fitted = LogisticRegression(max_iter=500).fit(
        words.fit_transform([e.pair for e in train]), [e.label for e in train]
    )
    assert fitted.score(words.transform([e.pair for e in test]), [e.label for e in test]) < 0.48


def test_retrieval_pool_has_near_duplicates(pocket: Pocket) -> None:
    pairs = [e for e in pocket.load("tatoeba", "de", "test", 200) if isinstance(e, Paired)]
    assert len({e.target for e in pairs}) == 200
    bags = [set(e.target.split()) for e in pairs]
    near = [max(len(b & o) / len(b | o) for j, o in enumerate(bags) if i != j) for i, b in enumerate(bags)]
    assert np.mean(near) > 0.5


def test_test_names_are_partly_new(pocket: Pocket) -> None:
    def names(split: str) -> set[str]:
        found: set[str] = set()
        for e in pocket.load("panx", "en", split, 1000):
            assert isinstance(e, Tagged)
            found |= {w for w, t in zip(e.words, e.tags or (), strict=True) if t != "O"}
        return found

    new = names("test") - names("train")
    assert 0.1 < len(new) / len(names("test")) < 0.5


def test_swaps_change_who_does_what() -> None:
    lexicon = read_lexicon()
    make = Maker(lexicon, Grammar("en", lexicon), random.Random(0), "train", 1.0)
    frame = Frame("see", NP("man", "old"), NP("woman"))
    assert make.say(make.swapped(frame)) == "the woman sees the old man."
    assert make.exclusive("monday", "sunday")
    assert not make.exclusive("monday", "morning")


def test_errors_say_what_to_do(pocket: Pocket) -> None:
    for arguments, word in (
        (("xnly", "en", "test"), "did you mean 'xnli'"),
        (("xnli", "de", "train"), "one of en"),
        (("xquad", "en", "train"), "one of test"),
        (("xnli", "fr", "test"), "one of en, de"),
    ):
        with pytest.raises(UserError, match=word):
            pocket.load(*arguments)
        with pytest.raises(UserError):
            pocket.revision(*arguments)
    assert pocket.languages("xnli", "train") == ("en",)
    assert pocket.languages("mnli", "test") == ()
    assert pocket.test_split("mnli") == "dev"
    assert pocket.test_split("xnli") == "test"


# What the first items of each task are, in every split and in its last language. An item that changes
# changes the line: raise ``VERSION`` of xadapt/data/pocket/source.py then, so that nobody's store takes
# the new items for the old ones, and write the new line here.
ITEMS = {
    "anli": "6acfd7ff0cc7",
    "mnli": "c3239909cbd1",
    "qqp": "daa6b25c9d5e",
    "squad_v1": "fe45d501dcca",
    "squad_v2": "7fdac446b484",
    "hellaswag": "9fa90c825471",
    "ccg": "afd6da7ff0b9",
    "cosmos_qa": "ea92c5a29a0f",
    "commonsense_qa": "41780e9beaed",
    "siqa": "3752cdf166b4",
    "copa": "bada463f1c6c",
    "mlm": "82f895ba2c36",
    "xnli": "60274c49a6fb",
    "pawsx": "5c56e0585b15",
    "udpos": "6406a62ccf3a",
    "panx": "27246efa5174",
    "xquad": "b09edad5dc4c",
    "mlqa": "89cd245555bc",
    "tydiqa": "350cf64a30f5",
    "xcopa": "0046f6b74514",
    "tatoeba": "86812c66aa81",
    "bucc": "2a795cfb2210",
    "lareqa": "d0e2949ad33e",
    "mewslix": "4a942b1e3fd8",
}


@pytest.mark.parametrize("task", list(SHAPES))
def test_items_are_those_of_their_version(pocket: Pocket, task: str) -> None:
    items = [
        item
        for split in SHAPES[task].sizes
        for item in pocket.load(task, pocket.languages(task, split)[-1], split, 40)
    ]
    assert hashlib.sha256(repr(items).encode()).hexdigest()[:12] == ITEMS[task]


def test_revisions_differ(pocket: Pocket) -> None:
    asked = [("xnli", "en", "test"), ("xnli", "de", "test"), ("xnli", "en", "dev"), ("pawsx", "en", "test")]
    assert len({pocket.revision(*a) for a in asked}) == len(asked)
    assert pocket.revision(*asked[0]) == Pocket().revision(*asked[0])


@pytest.mark.parametrize("generated", [True, False])
def test_generated_data_says_so_whatever_its_name(generated: bool, tmp_path: Path) -> None:
    """Few steps, and a note under the results, go by what a source says of itself."""
    source = Pocket()
    source.name, source.generated = "mine", generated
    plan = make_plan(["udpos"], backbone=tiny_backbone(), source=source, method=parse_method("lora"))
    assert plan.modules[0].settings.max_steps == (800 if generated else None)
    assert plan.generated() == generated
    page = Console(file=io.StringIO(), width=200)
    nothing = run(replace(plan, modules=(), evaluations=()), Store(tmp_path), baselines=False)
    print_results(replace(nothing, generated=plan.generated()), page)
    shown = page.file.getvalue()  # type: ignore[attr-defined]
    assert ("evidence for nothing" in shown) == generated


# --- the checkpoint -------------------------------------------------------------------------------
@needs_model
def test_tokenizer_keeps_words_whole() -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert tokenizer.mask_token_id == len(tokenizer) - 1
    lexicon = read_lexicon()
    sampler = Sampler(lexicon, random.Random(3), "test")
    frames = [sampler.draw() for _ in range(200)]
    for lang in LANGUAGES:
        grammar = Grammar(lang, lexicon)
        sentences = [grammar.sentence(f) for f in frames]
        pieces = sum(len(ids) - 2 for ids in tokenizer([spell(s)[0] for s in sentences])["input_ids"])
        assert 1.0 <= pieces / sum(map(len, sentences)) <= 1.25, lang
        for sentence in sentences[:50]:  # text and pre-split words meet the same pieces
            words = [t.text for t in sentence]
            assert (
                tokenizer(words, is_split_into_words=True)["input_ids"]
                == tokenizer(spell(sentence)[0])["input_ids"]
            )


@needs_model
def test_offsets_leave_the_space_out() -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    text, pair = "¿quién come la manzana?", "the black wolf eats."
    encoded = tokenizer(text, pair, return_offsets_mapping=True)
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    assert (tokens[0], tokens[-1], tokens.count("</s>")) == ("<s>", "</s>", 3)
    for (begin, end), sequence in zip(encoded["offset_mapping"], encoded.sequence_ids(), strict=True):
        if sequence is not None:
            piece = (text, pair)[sequence][begin:end]
            assert piece
            assert piece == piece.strip()


@needs_model
@pytest.mark.parametrize("name", POCKETS)
def test_checkpoint_is_small_and_opens(name: str) -> None:
    place = POCKETS[name]
    model, report = XLMRobertaModel.from_pretrained(place, add_pooling_layer=False, output_loading_info=True)
    assert not report["missing_keys"]
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["XLMRobertaForMaskedLM"]
    assert config["hidden_dropout_prob"] == config["attention_probs_dropout_prob"] == 0.0
    assert (place / "README.md").exists()
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    recipe = pretrain.Recipe(**json.loads((place / "recipe.json").read_text(encoding="utf-8")))
    assert recipe == SIZES[name]


@needs_model
def test_the_sizes_share_a_tokenizer_and_are_small_together() -> None:
    assert len({(place / "tokenizer.json").read_bytes() for place in POCKETS.values()}) == 1
    assert sum(f.stat().st_size for place in POCKETS.values() for f in place.iterdir()) < 12_000_000
    sizes = [
        sum(p.numel() for p in XLMRobertaModel.from_pretrained(place, add_pooling_layer=False).parameters())
        for place in POCKETS.values()
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 1_000_000


# --- the script that makes it ---------------------------------------------------------------------
TINY = pretrain.Recipe(
    steps=6, tokens=400, warm_up=2, rate=3e-3, horizon=8, cooldown=2, guided_from=0,
    align_layer=1, guided_heads=1,
    contrast_every=2, contrast_pairs=4, width=24, depth=2, heads=2, inner=32,
    vocabulary=700, tokenizer_texts=700,
)  # fmt: skip


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_pretraining_repeats_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        state = torch.get_rng_state()
        pretrain.pretrain(tmp_path / "a", TINY, snapshot_every=100)
        torch.manual_seed(99)  # the global generator is not asked
        pretrain.pretrain(tmp_path / "b", TINY, snapshot_every=100)
        pretrain.pretrain(tmp_path / "c", TINY, snapshot_every=3, stop_at=4)  # killed after step 4
        pretrain.pretrain(tmp_path / "c", TINY, snapshot_every=100)
        torch.set_rng_state(state)
    finally:
        torch.set_num_threads(threads)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") == digest(tmp_path / "c")


def test_the_script_draws_the_text_of_the_checkpoint() -> None:
    """Whoever changes words, frames or sentences changes what the script makes: the shipped checkpoint has
    read this text."""
    corpus, seen = Corpus(read_lexicon(), random.Random(0)), hashlib.sha256()
    for step in (0, 1, 9_999):
        corpus.reseed(random.Random(f"{pretrain.Recipe.seed}/text/{step}"))
        for _ in range(50):
            seen.update(repr(corpus.document()).encode())
    assert seen.hexdigest()[:12] == "5e5afe46b3a1"


@pytest.mark.slow
def test_the_script_makes_the_shipped_tokenizer() -> None:
    recipe = pretrain.Recipe(**json.loads((MODEL / "recipe.json").read_text(encoding="utf-8")))
    assert recipe == pretrain.Recipe()
    made = train_tokenizer(read_lexicon(), recipe.vocabulary, recipe.tokenizer_texts)
    assert json.loads(made.to_str()) == json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))


def test_whole_words_are_hidden() -> None:
    words = np.array([-1, 0, 0, 1, 2, 2, 2, -1])
    ids = np.arange(8) + 10
    for seed in range(20):
        read, picked = masking.hide(ids, words, np.full(3, 0.4), np.random.default_rng(seed), 99)
        assert picked.any()
        assert not picked[[0, -1]].any()
        assert len({*picked[1:3]}) == len({*picked[4:7]}) == 1
        assert (read[~picked] == ids[~picked]).all()
