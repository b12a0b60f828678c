"""Reading at size: NLI rows from TSV and from parquet, checked and tokenised; time and memory.

    python benchmarks/reading.py                                    # a million rows
    python benchmarks/reading.py --rows 100000 --tokenizer FOLDER   # another tokenizer

Each line of the table is two processes of its own: one that reads, checks and tokenises everything,
and one that starts again and finds the items on disk. Memory is what a process and those that it
starts take beyond what the first one took when it had just loaded its tokenizer: the peak of their
proportional set sizes (shared pages counted once, mapped files included), looked at five times a
second; "own" leaves out the files that are mapped. CPU is that of all processes together, which a busy
machine changes less than the clock. The last line is the result as JSON.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from rich.table import Table
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

import xadapt
from xadapt.backbone.backbone import POCKETS
from xadapt.common.console import wide
from xadapt.data.folder import Folder
from xadapt.data.hub_rows import examples_of
from xadapt.data.pocket.source import Pocket
from xadapt.study.item_cache import Notes, Request, encoded
from xadapt.tasks import task_named
from xadapt.tasks.examples import Classified, Example

SHARED = Path(__file__).parents[2] / "shared"
LABELS = ("entailment", "neutral", "contradiction")
TASK = "mnli"
MAX_LENGTH = 128


@dataclass(frozen=True)
class Options:
    """Reading at size.

    Attributes:
        rows: how many.
        tokenizer: a folder in HF format, or a SentencePiece model of XLM-R's; by default XLM-R's where
            it lies beside the repository, else the pocket encoder's.
        text: a TSV with text, pair and label, whose texts are repeated with variations; by default
            XNLI's training file beside the repository, else the pocket world's sentences.
        workers: processes that tokenise; each is measured.
        folder: where to write; by default a temporary folder.
        measure: for the processes that this one starts.
    """

    rows: int = 1_000_000
    tokenizer: Path | None = None
    text: Path | None = None
    workers: tuple[int, ...] = (1, 2)
    folder: Path | None = None
    measure: tuple[Literal["tsv", "parquet"], int] | None = None


def main(options: Options) -> None:
    if options.measure:
        measured(options, *options.measure)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        characters = write_rows(options, folder)
        rows = []
        for source in ("tsv", "parquet"):
            for workers in options.workers:
                first = run(options, folder, source, workers)
                second = run(options, folder, source, workers)
                rows.append({"source": source, "workers": workers, "first": first, "second": second})
                print(json.dumps(rows[-1]), file=sys.stderr)  # what is known if the rest is stopped
        show(options, characters, rows)


def show(options: Options, characters: float, rows: Sequence[dict[str, Any]]) -> None:
    """The table and the last line."""
    console = wide()
    tokens = rows[0]["first"]["tokens"]
    console.print(
        f"{options.rows:,} rows, {characters:.0f} characters and {tokens / options.rows:.1f} tokens each, "
        f"vocabulary of {rows[0]['first']['vocabulary']:,}; {os.cpu_count()} CPUs, {platform.machine()}"
    )
    table = Table()
    table.add_column("")
    for column in (
        "workers",
        "read, check",
        "tokenise",
        "CPU",
        "rows/s",
        "memory",
        "own",
        "second start",
        "CPU",
        "memory",
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        first, second = row["first"], row["second"]
        table.add_row(
            row["source"],
            str(row["workers"]),
            f"{first['read_seconds']:.1f} s",
            f"{first['encode_seconds']:.1f} s",
            f"{first['cpu_seconds']:.1f} s",
            f"{options.rows / (first['read_seconds'] + first['encode_seconds']):,.0f}",
            f"{first['peak_bytes'] / 1e6:.0f} MB",
            f"{first['peak_own_bytes'] / 1e6:.0f} MB",
            f"{second['read_seconds'] + second['encode_seconds']:.2f} s",
            f"{second['cpu_seconds']:.2f} s",
            f"{second['peak_bytes'] / 1e6:.0f} MB",
        )
    console.print(table)
    facts = {"benchmark": "reading", "rows": options.rows, "characters": characters, "cpus": os.cpu_count()}
    print(json.dumps(facts | {"results": rows}))


# -- the data -------------------------------------------------------------------------------------


def write_rows(options: Options, folder: Path) -> float:
    """The rows, once as XTREME's TSV and once as the hub's parquet; characters a row."""
    texts = list(seeds(options))
    (folder / "xtreme" / "xnli").mkdir(parents=True)
    (folder / "xtreme" / "xnli" / "dev-en.tsv").write_text("a\tb\tneutral\n")
    schema = pa.schema({"premise": pa.string(), "hypothesis": pa.string(), "label": pa.int64()})
    written = 0
    with (
        (folder / "xtreme" / "xnli" / "train-en.tsv").open("w", encoding="utf-8", newline="\n") as tsv,
        pq.ParquetWriter(folder / "train.parquet", schema) as parquet,
    ):
        for first in range(0, options.rows, 10_000):
            rows = [varied(texts, i) for i in range(first, min(first + 10_000, options.rows))]
            tsv.writelines(f"{text}\t{pair}\t{LABELS[label]}\n" for text, pair, label in rows)
            columns = [pa.array(column) for column in zip(*rows, strict=True)]
            parquet.write_table(pa.table(columns, schema=schema))
            written += sum(len(text) + len(pair) for text, pair, _ in rows)
    return written / options.rows


def seeds(options: Options) -> Iterator[tuple[str, str]]:
    """Pairs of texts of real lengths."""
    path = options.text or SHARED / "xtreme" / "xnli" / "train-en.tsv"
    if path.is_file():
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            text, pair, *_ = line.split("\t")
            yield text, pair
        return
    for example in Pocket().load(TASK, "en", "train"):
        if isinstance(example, Classified):
            yield example.text, example.pair or ""


def varied(texts: Sequence[tuple[str, str]], i: int) -> tuple[str, str, int]:
    """Row ``i``: a text, another text's pair and a number, so that no two rows are equal."""
    turn, place = divmod(i, len(texts))
    return f"{texts[place][0]} {i}", texts[(place + 7919 * turn) % len(texts)][1], i % 3


# -- one process ----------------------------------------------------------------------------------


def measured(options: Options, source: str, workers: int) -> None:
    """In a process of its own: says when its tokenizer is there, waits, works, says how long it took."""
    assert options.folder is not None
    backbone = xadapt.Backbone("bench", small_model(), tokenizer_of(options))
    console = wide(stderr=True)
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # what loading took and gave back is not there to be used again
    print(json.dumps({"ready": True}), flush=True)
    input()
    reading = 0.0
    began, cpu_before = time.monotonic(), sum(os.times()[:4])

    def timed() -> tuple[Sequence[Example], Notes]:
        nonlocal reading
        start = time.monotonic()
        found = from_tsv(options.folder) if source == "tsv" else from_parquet(options.folder)
        reading = time.monotonic() - start
        return found, {}

    revision = "written by this benchmark"
    if source == "tsv":
        revision = Folder(options.folder / "xtreme").revision(TASK, "en", "train")
    store = xadapt.Store(options.folder / f"store-{source}-{workers}")
    request = Request(
        task_named(TASK),
        {"task": TASK, "source": source, "revision": revision},
        timed,
        at_most=None,
        max_length=MAX_LENGTH,
        training=True,
        shown=f"{TASK} from {source}, workers: {workers}",
    )
    examples, items, _ = encoded(request, backbone, store, xadapt.Bars(console), {}, workers=workers)
    assert len(items) == len(examples) == options.rows
    tokens = sum(len(items[i]) for i in range(0, len(items), max(1, len(items) // 1000)))
    tokens = round(tokens / len(range(0, len(items), max(1, len(items) // 1000))) * len(items))
    seconds = time.monotonic() - began
    facts = {
        "read_seconds": reading,
        "encode_seconds": seconds - reading,
        "cpu_seconds": sum(os.times()[:4]) - cpu_before,
        "tokens": tokens,
    }
    print(json.dumps(facts | {"vocabulary": len(backbone.tokenizer)}), flush=True)


def from_tsv(folder: Path | None) -> Sequence[Example]:
    assert folder is not None
    return Folder(folder / "xtreme").load(TASK, "en", "train")


def from_parquet(folder: Path | None) -> Sequence[Example]:
    import datasets

    assert folder is not None
    datasets.disable_progress_bars()
    row = task_named(TASK)
    assert row.hub is not None
    data = datasets.load_dataset(
        "parquet",
        data_files=str(folder / "train.parquet"),
        split="train",
        cache_dir=str(folder / "datasets"),
    )
    return examples_of(row, row.hub, data, "en", "train", {})


def run(options: Options, folder: Path, source: str, workers: int) -> dict[str, Any]:
    """Times and memory of a process that reads and tokenises, or finds that it was done."""
    command = [sys.executable, __file__, "--rows", str(options.rows), "--folder", str(folder)]
    command += ["--measure", source, str(workers)]
    if options.tokenizer:
        command += ["--tokenizer", str(options.tokenizer)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit("the measured process did not start: see above")
        before = memory(process.pid)
        peak = [before]
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.2):
                peak[0] = tuple(map(max, peak[0], memory(process.pid)))  # type: ignore[assignment]

        watcher = threading.Thread(target=watch)
        watcher.start()
        process.stdin.write("\n")
        process.stdin.flush()
        last = process.stdout.readline()
        over.set()
        watcher.join()
    if process.returncode:
        raise SystemExit(f"the measured process failed with status {process.returncode}")
    total, own = (high - low for high, low in zip(peak[0], before, strict=True))
    facts: dict[str, Any] = json.loads(last)
    return facts | {"peak_bytes": total, "peak_own_bytes": own, "tokenizer_bytes": before[0]}


def memory(pid: int) -> tuple[int, int]:
    """Bytes that a process and its children take: all, and without mapped files. (0, 0) when gone."""
    total = own = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "Pss":
                total = int(value.split()[0]) * 1024
            elif name == "Pss_Anon":
                own = int(value.split()[0]) * 1024
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return total, own
    for child in map(int, children):
        more = memory(child)
        total, own = total + more[0], own + more[1]
    return total, own


# -- the tokenizer --------------------------------------------------------------------------------


def small_model() -> XLMRobertaModel:
    """A model that takes no memory: only its tokenizer is of use here."""
    shape = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
    return XLMRobertaModel(XLMRobertaConfig(vocab_size=8, max_position_embeddings=514, **shape))


def tokenizer_of(options: Options) -> PreTrainedTokenizerFast:
    path = options.tokenizer
    if path is None:
        found = sorted((SHARED / "xlmr-tokenizer").glob("*.model"))
        path = found[0] if found else POCKETS["pocket"]
    if (
        path.is_dir()
        and (models_here := sorted(path.glob("*.model")))
        and not (path / "tokenizer.json").exists()
    ):
        path = models_here[0]
    return AutoTokenizer.from_pretrained(path) if path.is_dir() else from_sentencepiece(path)


def from_sentencepiece(path: Path) -> PreTrainedTokenizerFast:
    """XLM-R's tokenizer from its SentencePiece file: fairseq's four ids in front, ``<mask>`` at the end.

    The file is a protocol buffer: field 1 a piece (1 its text, 2 its score), field 3 the normaliser
    (2 its table). Read here, so that the benchmark needs neither protobuf nor sentencepiece.
    """
    import struct

    pieces: list[tuple[str, float]] = []
    table = b""
    for number, value in fields(path.read_bytes()):
        if number == 1:
            piece = dict(fields(value))
            pieces.append((piece[1].decode(), struct.unpack("<f", piece[2])[0]))
        elif number == 3:
            table = dict(fields(value))[2]
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *pieces[3:], ("<mask>", 0.0)]
    inner = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    inner.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(table), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer message: number and value (bytes, or an integer)."""
    at = 0

    def integer() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = integer()
        kind = key & 7
        if kind == 0:
            yield key >> 3, integer()
            continue
        size = integer() if kind == 2 else {1: 8, 5: 4}[kind]
        yield key >> 3, data[at : at + size]
        at += size


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
