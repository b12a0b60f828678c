"""Pretrain a pocket backbone: a tiny XLM-R on generated text, bit for bit reproducible.

    python docs/pocket/pretrain.py --out pocket-model [--size pocket-medium]

What it learns from, on one thread and in a fixed number of steps:

* masked language modelling of whole words over ``corpus.py``'s documents, among them translations side
  by side (TLM, Conneau & Lample 2019, https://arxiv.org/abs/1901.07291);
* word alignment: a hidden word points at the word that says the same in the other segment (Chi et al.
  2021, https://arxiv.org/abs/2106.06381), and so do some heads of the upper layers (guided attention,
  Garg et al. 2019, https://arxiv.org/abs/1909.02074);
* on every fourth step, XLCO: an InfoNCE loss on the mean of the second layer over translations
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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from corpus import Corpus
from masking import LONGEST, Batches, Masked
from recipe import SIZES, Recipe
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizerFast
from vocabulary import as_transformers, train_tokenizer

from xadapt.backbone.attention import pack_attention
from xadapt.backbone.encoder import continued, encode
from xadapt.backbone.packing import Packed, pack
from xadapt.data.pocket.lexicon import read_lexicon

SNAPSHOT = "snapshot.safetensors"


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
        attention: Any = layer.attention.self  # type: ignore[union-attr]
        attention.query.weight.mul_(recipe.alike)
        attention.key.weight.copy_(attention.query.weight)
    table = model.roberta.embeddings.position_embeddings.weight  # (positions, width)
    place = torch.arange(table.shape[0], dtype=torch.float32)[:, None]
    pace = torch.exp(torch.arange(0, recipe.width, 2) * (-math.log(200.0) / recipe.width))
    table[:, 0::2], table[:, 1::2] = 0.05 * torch.sin(place * pace), 0.05 * torch.cos(place * pace)


class Pointer(nn.Module):
    """Which piece of the other segment says what a hidden one said; not kept after pretraining."""

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        weight = torch.randn(width, width, generator=generator) * 0.05
        self.query = nn.Parameter(weight.clone())
        self.key = nn.Parameter(weight.clone())

    def forward(self, hidden: Tensor, packed: Packed, pointers: list[np.ndarray]) -> Tensor:
        """hidden: (T, H)."""
        return pointing(hidden @ self.query, hidden @ self.key, packed, pointers)


def pointing(queries: Tensor, keys: Tensor, packed: Packed, pointers: list[np.ndarray]) -> Tensor:
    """The mean cross entropy of attention that should go from hidden pieces to what says the same.

    Every piece of the sequence competes.

    Args:
        queries, keys: (T, D), as in attention.
        packed: N sequences.
        pointers: N times (P, 2), see ``Masked``.
    """
    rows = torch.from_numpy(np.concatenate([np.full(len(p), i) for i, p in enumerate(pointers)]))
    if len(rows) == 0:
        return queries.sum() * 0.0
    asked, answer = torch.from_numpy(np.concatenate(pointers)).T
    base, lengths = packed.starts[rows], packed.lengths[rows]
    place = torch.arange(int(lengths.max()))  # (S,)
    inside = place < lengths[:, None]  # (P, S)
    at = (base[:, None] + place).clamp(max=len(keys) - 1)
    scores = (keys[at] @ queries[base + asked][:, :, None]).squeeze(2) / keys.shape[1] ** 0.5  # (P, S)
    return F.cross_entropy(scores.masked_fill(~inside, -1e9), answer)


def losses(
    model: XLMRobertaForMaskedLM, pointer: Pointer, batch: Masked, recipe: Recipe
) -> tuple[Tensor, Tensor, Tensor]:
    """(MLM loss, its accuracy, alignment loss); logits at hidden positions only."""
    packed = pack(batch.read)
    hidden = encode(model.roberta, packed, layers=recipe.guided_from)  # (T, H)
    aligned = []
    for i, layer in enumerate(model.roberta.encoder.layer[recipe.guided_from :], recipe.guided_from):
        if i == recipe.align_layer:
            aligned.append(pointer(hidden, packed, batch.pointers))
        attention: Any = layer.attention.self  # type: ignore[union-attr]
        size = recipe.width // recipe.heads
        queries, keys = attention.query(hidden), attention.key(hidden)
        for head in range(recipe.guided_heads):
            own = slice(head * size, (head + 1) * size)
            aligned.append(pointing(queries[:, own], keys[:, own], packed, batch.pointers))
        hidden = continued(model.roberta, hidden, packed, i, i + 1)
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
    """Linear warm-up, a cosine towards the horizon, and in the last steps straight down to nothing."""
    if step < recipe.warm_up:
        return recipe.rate * (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / max(1, recipe.horizon - recipe.warm_up)
    left = (recipe.steps - step) / max(1, recipe.cooldown)
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done))) * min(1.0, left)


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
        lr=recipe.rate,
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
        mlm, accuracy, aligned = losses(model, pointer, batch, recipe)
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
    parser.add_argument("--size", choices=SIZES, default="pocket", help="which of the backbones that ship")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    args = parser.parse_args()
    torch.set_num_threads(1)  # a fixed number: sums in one order, hence the same bits on every run
    pretrain(args.out, replace(SIZES[args.size], steps=args.steps))


if __name__ == "__main__":
    main()
