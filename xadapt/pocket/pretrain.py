"""Pretrain the pocket backbone: a tiny XLM-R on generated text, bit for bit reproducible.

    OMP_NUM_THREADS=2 python -m xadapt.pocket.pretrain --out pocket-model

What it learns from, on two threads and in one fixed number of steps:

* masked language modelling of whole words over ``corpus.py``'s documents, among them translations side
  by side (TLM, Conneau & Lample 2019, https://arxiv.org/abs/1901.07291);
* word alignment: a hidden word points at the word that says the same in the other segment (Chi et al.
  2021, https://arxiv.org/abs/2106.06381), later heads of the upper layers as well (guided attention,
  Garg et al. 2019, https://arxiv.org/abs/1909.02074);
* on every second step, XLCO: an InfoNCE loss on the mean of the second layer over translations
  (Chi et al. 2021, InfoXLM, https://arxiv.org/abs/2007.07834).

XLM-R itself learned by plain MLM (Conneau et al. 2020): a backbone this small needs the help.
Each step draws its text and masks from a generator named by its number alone, so that a run that was
killed goes on from its last snapshot exactly as if it had not been.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizerFast

from ..packing import Packed, encode, pack, pack_attention
from .corpus import Corpus, Document
from .lexicon import read_lexicon
from .vocabulary import as_transformers, train_tokenizer

LONGEST = 256  # tokens
SNAPSHOT = "snapshot.safetensors"


@dataclass(frozen=True)
class Recipe:
    """All that determines the weights, besides the text."""

    steps: int = 8200
    tokens: int = 1536  # a batch
    warm_up: int = 400  # steps
    # cosines: the step at which one begins, its first rate, where it would end, the share left there
    rates: tuple[tuple[int, float, int, float], ...] = (
        (400, 2.5e-3, 7000, 0.05),
        (2500, 1.2e-3, 6500, 0.0),
        (5000, 8e-4, 8200, 0.0),
    )
    weight_decay: float = 0.01
    mask_plain: float = 0.18  # the share of words hidden in a single segment
    mask_most: float = 0.35  # of two aligned segments: in the one that is to be read off the other
    mask_least: float = 0.05  # and in the other
    contrast_every: int = 2  # steps between XLCO terms
    contrast_pairs: int = 64
    contrast_weight: float = 0.3
    temperature: float = 0.1
    align_weight: float = 0.5
    align_layer: int = 3  # what the pointer reads
    guided_step: int = 1750  # from here on, heads of the upper layers are held to point as well
    guided_from: int = 2  # the first such layer
    guided_heads: int = 2  # a layer
    layer: int = 2  # whose mean XLCO compares
    width: int = 192
    depth: int = 4
    heads: int = 6
    inner: int = 576
    vocabulary: int = 6000
    tokenizer_texts: int = 20000
    alike: float = 1.0  # how strongly queries and keys agree at first
    seed: int = 0


def new_model(recipe: Recipe, vocabulary: int) -> XLMRobertaForMaskedLM:
    """Weights drawn from the recipe's seed, not from the global generator."""
    config = XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=recipe.width,
        num_hidden_layers=recipe.depth,
        num_attention_heads=recipe.heads,
        intermediate_size=recipe.inner,
        max_position_embeddings=LONGEST + 2,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        architectures=["XLMRobertaForMaskedLM"],
    )
    model = XLMRobertaForMaskedLM(config)
    generator = torch.Generator().manual_seed(recipe.seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.normal_(0.0, 0.05, generator=generator)
            else:
                weight.fill_(1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0)
        model.roberta.embeddings.word_embeddings.weight[config.pad_token_id] = 0.0
        begin_alike(model, recipe)
    pack_attention(model.roberta)
    return model


def begin_alike(model: XLMRobertaForMaskedLM, recipe: Recipe) -> None:
    """Let attention begin near tokens that are alike or close by.

    Keys start as the queries do (the idea of mimetic initialisation, Trockman & Kolter 2023,
    https://arxiv.org/abs/2305.09828) and positions as sinusoids (Vaswani et al. 2017). In so short a
    run, reading one segment off the other would hardly be found otherwise.
    """
    for layer in model.roberta.encoder.layer:
        attention = layer.attention.self
        attention.query.weight.mul_(recipe.alike)
        attention.key.weight.copy_(attention.query.weight)
    table = model.roberta.embeddings.position_embeddings.weight  # (positions, width)
    place = torch.arange(table.shape[0], dtype=torch.float32)[:, None]
    pace = torch.exp(torch.arange(0, recipe.width, 2) * (-math.log(200.0) / recipe.width))
    table[:, 0::2], table[:, 1::2] = 0.05 * torch.sin(place * pace), 0.05 * torch.cos(place * pace)


def hide(
    ids: np.ndarray, words: np.ndarray, rates: np.ndarray, rng: np.random.Generator, mask_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose whole words; 8 of 10 become ``<mask>``, one a random piece, one stays.

    Args:
        ids: (L,) pieces.
        words: (L,) the word each piece belongs to, -1 for special pieces.
        rates: (words,) how likely each word is hidden.

    Returns:
        (L,) the pieces to read, and (L,) which of them to predict.
    """
    count = int(words.max()) + 1
    chosen = rng.random(count) < rates[:count]
    if not chosen.any():
        chosen[rng.integers(count)] = True
    picked = (words >= 0) & chosen[words]
    kind = rng.random(count)[words]
    read = np.where(picked & (kind < 0.8), mask_id, ids)
    return np.where(picked & (kind >= 0.9), rng.integers(4, mask_id, len(ids)), read), picked


@dataclass(frozen=True)
class Masked:
    """N sequences with words hidden.

    Attributes:
        read, truth: what the model sees and what stood there, (L,) each.
        chosen: (L,) which pieces to predict.
        pointers: (P, 4) hidden piece, the piece that says the same in the other segment, and
            where that segment begins and ends.
    """

    read: list[np.ndarray]
    truth: list[np.ndarray]
    chosen: list[np.ndarray]
    pointers: list[np.ndarray]


def pointers(document: Document, words: np.ndarray, picked: np.ndarray) -> np.ndarray:
    """(P, 4): for each hidden word with a counterpart that is not hidden, see ``Masked``."""
    if not document.links:
        return np.empty((0, 4), dtype=np.int64)
    first = len(document.segments[0])
    firsts = {int(w): i for i, w in reversed(list(enumerate(words)))}
    spans = []
    for own in (words < first, words >= first):
        at = np.flatnonzero(own & (words >= 0))
        spans.append((int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0))
    found = []
    for a, b in document.links:
        one, two = firsts.get(a), firsts.get(first + b)
        if one is not None and two is not None and picked[one] != picked[two]:
            found.append((one, two, *spans[1]) if picked[one] else (two, one, *spans[0]))
    return np.array(found, dtype=np.int64).reshape(-1, 4)


class Batches:
    """Step number -> its batch; no state between steps."""

    def __init__(self, recipe: Recipe, tokenizer: XLMRobertaTokenizerFast, corpus: Corpus) -> None:
        self.recipe, self.tokenizer, self.corpus = recipe, tokenizer, corpus
        self._pieces: dict[str, list[int]] = {}

    def pieces(self, document: Document) -> tuple[np.ndarray, np.ndarray]:
        """(L,) pieces in XLM-R's layout and (L,) their words, -1 for special pieces.

        The tokenizer splits at spaces and punctuation first, so that a word's pieces do not depend on
        its neighbours and can be remembered.
        """
        ids, words, count = [0], [-1], 0
        for segment in document.segments:
            if len(ids) > 1:
                ids += [2, 2]
                words += [-1, -1]
            for token in segment:
                found = self._pieces.get(token.text)
                if found is None:
                    found = self.tokenizer(token.text, add_special_tokens=False)["input_ids"]
                    self._pieces[token.text] = found
                ids += found
                words += [count] * len(found)
                count += 1
        ids.append(2)
        words.append(-1)
        return np.array(ids[:LONGEST]), np.array(words[:LONGEST])

    def masked(self, step: int) -> Masked:
        """Documents with words hidden, ``recipe.tokens`` in all."""
        recipe = self.recipe
        self.corpus.reseed(random.Random(f"{recipe.seed}/text/{step}"))
        rng = np.random.default_rng([recipe.seed, step])
        batch, total = Masked([], [], [], []), 0
        while total < recipe.tokens:
            document = self.corpus.document()
            ids, words = self.pieces(document)
            rates = [recipe.mask_plain] * len(document.segments)
            if document.aligned:
                rates = [recipe.mask_least, recipe.mask_most]
                if rng.random() < 0.5:
                    rates.reverse()
            each = np.repeat(rates, [len(s) for s in document.segments])
            seen, picked = hide(ids, words, each, rng, len(self.tokenizer) - 1)
            batch.read.append(seen)
            batch.truth.append(ids)
            batch.chosen.append(picked)
            batch.pointers.append(pointers(document, words, picked))
            total += len(ids)
        return batch

    def translations(self, step: int) -> tuple[list[list[int]], list[list[int]]]:
        """Pieces of ``contrast_pairs`` sentences in English, and of their translations."""
        self.corpus.reseed(random.Random(f"{self.recipe.seed}/pairs/{step}"))
        ours, theirs = zip(*self.corpus.pairs(self.recipe.contrast_pairs), strict=True)
        return self.tokenizer(list(ours))["input_ids"], self.tokenizer(list(theirs))["input_ids"]


class Pointer(nn.Module):
    """Which piece of the other segment says what a hidden one said; not kept after pretraining."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        weight = torch.randn(width, width, generator=generator) * 0.05
        self.query = nn.Parameter(weight.clone())
        self.key = nn.Parameter(weight.clone())

    def forward(self, hidden: Tensor, packed: Packed, pointers: list[np.ndarray], whole: bool) -> Tensor:
        """hidden: (T, H)."""
        return pointing(hidden @ self.query, hidden @ self.key, packed, pointers, whole)


def pointing(
    queries: Tensor, keys: Tensor, packed: Packed, pointers: list[np.ndarray], whole: bool = True
) -> Tensor:
    """The mean cross entropy of attention that should go from hidden pieces to what says the same.

    Args:
        queries, keys: (T, D), as in attention.
        packed: N sequences.
        pointers: N times (P, 4), see ``Masked``.
        whole: every piece of the sequence competes; else those of the other segment alone.
    """
    rows = torch.from_numpy(np.concatenate([np.full(len(p), i) for i, p in enumerate(pointers)]))
    if len(rows) == 0:
        return queries.sum() * 0.0
    asked, answer, begin, end = torch.from_numpy(np.concatenate(pointers)).T
    base = packed.starts[rows]
    if whole:
        begin, end = torch.zeros_like(begin), packed.lengths[rows]
    place = torch.arange(int((end - begin).max()))  # (S,)
    inside = place < (end - begin)[:, None]  # (P, S)
    at = ((base + begin)[:, None] + place).clamp(max=len(keys) - 1)
    scores = (keys[at] @ queries[base + asked][:, :, None]).squeeze(2) / keys.shape[1] ** 0.5  # (P, S)
    return F.cross_entropy(scores.masked_fill(~inside, -1e9), answer - begin)


def losses(
    model: XLMRobertaForMaskedLM, pointer: Pointer, batch: Masked, recipe: Recipe, guided: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """(MLM loss, its accuracy, alignment loss); logits at hidden positions only."""
    packed = pack(batch.read)
    hidden = encode(model.roberta, packed, layers=recipe.guided_from)  # (T, H)
    aligned = []
    for i, layer in enumerate(model.roberta.encoder.layer[recipe.guided_from :], recipe.guided_from):
        if i == recipe.align_layer:
            aligned.append(pointer(hidden, packed, batch.pointers, guided))
        if guided:
            attention, size = layer.attention.self, recipe.width // recipe.heads
            queries, keys = attention.query(hidden), attention.key(hidden)
            for head in range(recipe.guided_heads):
                own = slice(head * size, (head + 1) * size)
                aligned.append(pointing(queries[:, own], keys[:, own], packed, batch.pointers))
        hidden = layer(hidden[None], None, packed.groups)[0][0]
    at = torch.cat(
        [packed.starts[i] + torch.from_numpy(np.flatnonzero(c)) for i, c in enumerate(batch.chosen)]
    )
    labels = torch.cat([torch.from_numpy(t[c]) for t, c in zip(batch.truth, batch.chosen, strict=True)])
    logits = model.lm_head(hidden[at])  # (hidden positions, vocabulary)
    return (
        F.cross_entropy(logits, labels),
        (logits.detach().argmax(-1) == labels).float().mean(),
        torch.stack(aligned).mean(),
    )


def pooled(model: XLMRobertaForMaskedLM, sequences: Sequence[Sequence[int]], layer: int) -> Tensor:
    """(N, H) mean over each sequence's pieces, special ones included, after ``layer`` layers."""
    packed = pack(sequences)
    hidden = encode(model.roberta, packed, layers=layer)
    total = torch.zeros(len(packed), hidden.shape[1]).index_add(0, packed.owner, hidden)
    return total / packed.lengths.unsqueeze(1)


def contrast_loss(
    model: XLMRobertaForMaskedLM, pairs: tuple[list[list[int]], list[list[int]]], recipe: Recipe
) -> Tensor:
    """InfoNCE in both directions over the batch's translations."""
    count = len(pairs[0])
    both = F.normalize(pooled(model, [*pairs[0], *pairs[1]], recipe.layer), dim=-1)
    scores = both[:count] @ both[count:].T / recipe.temperature
    target = torch.arange(count)
    return (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2


def rate_at(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then the latest cosine that has begun."""
    if step < recipe.warm_up:
        return recipe.rates[0][1] * (step + 1) / recipe.warm_up
    begin, peak, end, rest = [phase for phase in recipe.rates if phase[0] <= step][-1]
    done = (step - begin) / max(1, end - begin)
    return peak * (rest + (1 - rest) * 0.5 * (1 + math.cos(math.pi * done)))


def save_snapshot(
    path: Path, step: int, named: Mapping[str, nn.Parameter], optimiser: torch.optim.AdamW
) -> None:
    """Weights and both moments in float32, written whole or not at all."""
    tensors = {}
    for name, weight in named.items():
        state = optimiser.state[weight]
        tensors[f"weight/{name}"] = weight.detach().clone()
        tensors[f"first/{name}"] = state["exp_avg"].clone()
        tensors[f"second/{name}"] = state["exp_avg_sq"].clone()
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"step": str(step)})
    partial.replace(path)


def load_snapshot(path: Path, named: Mapping[str, nn.Parameter], optimiser: torch.optim.AdamW) -> int:
    """Puts everything back; returns the next step."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        step = int(file.metadata()["step"])
    tensors = load_file(path)
    with torch.no_grad():
        for name, weight in named.items():
            weight.copy_(tensors[f"weight/{name}"])
            optimiser.state[weight] = {
                "step": torch.tensor(float(step)),
                "exp_avg": tensors[f"first/{name}"].clone(),
                "exp_avg_sq": tensors[f"second/{name}"].clone(),
            }
    return step


def save_model(out: Path, model: XLMRobertaForMaskedLM, tokenizer: XLMRobertaTokenizerFast) -> None:
    """The HF folder, weights in float16. The model itself stays as it is."""
    plain = XLMRobertaForMaskedLM(model.config)
    plain.load_state_dict(model.state_dict())
    plain.half().save_pretrained(out, safe_serialization=True)
    tokenizer.save_pretrained(out)


def pretrain(
    out: Path, recipe: Recipe, snapshot_every: int = 250, log_every: int = 50, stop_at: int | None = None
) -> XLMRobertaForMaskedLM:
    """Run the recipe, or go on with it where ``out`` holds a snapshot.

    Args:
        out: the folder to write.
        recipe: what determines the weights.
        snapshot_every: steps between snapshots.
        log_every: steps between lines.
        stop_at: end early, after this many steps, as a kill would.
    """
    out.mkdir(parents=True, exist_ok=True)
    lexicon = read_lexicon()
    tokenizer = as_transformers(train_tokenizer(lexicon, recipe.vocabulary, recipe.tokenizer_texts), LONGEST)
    model = new_model(recipe, len(tokenizer)).train()
    pointer = Pointer(recipe.width, torch.Generator().manual_seed(recipe.seed + 1))
    batches = Batches(recipe, tokenizer, Corpus(lexicon, random.Random(recipe.seed)))
    named = dict(model.named_parameters()) | {f"pointer.{k}": w for k, w in pointer.named_parameters()}
    decayed = [w for w in named.values() if w.ndim == 2]
    others = [w for w in named.values() if w.ndim != 2]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.rates[0][1],
        betas=(0.9, 0.98),
        fused=True,
    )
    snapshot = out / SNAPSHOT
    first = load_snapshot(snapshot, named, optimiser) if snapshot.exists() else 0
    began, tokens, sums = time.perf_counter(), 0, [0.0] * 3
    for step in range(first, min(recipe.steps, stop_at or recipe.steps)):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, recipe)
        batch = batches.masked(step)
        mlm, accuracy, aligned = losses(model, pointer, batch, recipe, step >= recipe.guided_step)
        loss = mlm + recipe.align_weight * aligned
        if step % recipe.contrast_every == 0:
            loss = loss + recipe.contrast_weight * contrast_loss(model, batches.translations(step), recipe)
        loss.backward()
        nn.utils.clip_grad_norm_(named.values(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        tokens += sum(map(len, batch.read))
        sums = [s + t.item() for s, t in zip(sums, (mlm, accuracy, aligned), strict=True)]
        if (step + 1) % log_every == 0:
            seconds = time.perf_counter() - began
            left = seconds / (step + 1 - first) * (recipe.steps - step - 1)
            print(
                f"step {step + 1}/{recipe.steps}  loss {sums[0] / log_every:.3f}  masked words "
                f"{sums[1] / log_every:.3f}  alignment {sums[2] / log_every:.3f}  "
                f"{tokens / seconds:.0f} tokens/s  {left / 60:.1f} min left",
                flush=True,
            )
            sums = [0.0] * 3
        if (step + 1) % snapshot_every == 0:
            save_snapshot(snapshot, step + 1, named, optimiser)
            save_model(out, model, tokenizer)
    save_model(out, model, tokenizer)
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2) + "\n", encoding="utf-8")
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="the folder to write; a snapshot there is resumed"
    )
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    args = parser.parse_args()
    torch.set_num_threads(2)  # a fixed number: sums in one order, hence the same bits on every run
    pretrain(args.out, Recipe(steps=args.steps))


if __name__ == "__main__":
    main()
