"""One of several options completes a context or answers a question on it: HellaSwag, Cosmos QA, COPA."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xadapt.common.errors import UserError
from xadapt.kinds.answers import Answered, Choice, softmax
from xadapt.kinds.checks import check_scored, readable, typed
from xadapt.kinds.encoding import compact, pieces
from xadapt.kinds.kind import Baselines, Item, Kind
from xadapt.kinds.metrics import Counts, hits
from xadapt.tasks.examples import Chosen, Example

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from xadapt.backbone.packing import Packed


class Choose(Kind):
    """Each option is scored by one number, the head's on ``<s> context question </s></s> option </s>``;
    a softmax over an item's options makes them comparable. An item is an example, with one sequence an
    option, its target the right option's index. What a scorer has learned on one task, that this option fits
    better than that one, is what the next asks too: in ``siqa > xcopa`` it goes on, as in XTREME-R."""

    continues: ClassVar[bool] = True

    serves = "choose"
    metrics = ("accuracy",)

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """Context and question before the option, as in jiant. What is too long loses the end of its longest
        part, mostly the context's: jiant cuts the question, which follows the context, away first."""
        unlabelled = (lambda r: r.label is None) if training else None
        rows = readable(examples, Chosen, max_length, unlabelled=unlabelled)
        for row in rows:
            check_options(row)
        ids = pieces(tokenizer, [t for r in rows for t in (r.context, r.question, *r.options)])
        begin, end = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        items = []
        for i, row in enumerate(rows):
            sequences = []
            for option in row.options:
                parts = [ids[row.context], ids[row.question], ids[option]]
                keep = longest_first([len(p) for p in parts], max_length - 4)
                context, question, answer = (p[:n] for p, n in zip(parts, keep, strict=True))
                sequences.append(compact(np.concatenate([begin, context, question, end, end, answer, end])))
            items.append(Item(i, tuple(sequences), row.label))
        return items

    def head(self, config: PretrainedConfig) -> nn.Module:
        from xadapt.kinds.heads import sequence_head

        return sequence_head(config, 1)

    def reads(self, batch: Packed, items: Sequence[Item]) -> Tensor:
        """Each sequence's ``<s>``, in the caller's order."""
        return batch.starts

    def units(self, items: Sequence[Item]) -> int:
        """Examples."""
        return len(items)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        """Cross entropy over each item's options, summed over examples."""
        import torch
        import torch.nn.functional as F
        from torch.nn.utils.rnn import pad_sequence

        scores = option_scores(head, hidden, items)
        # Items may differ in their number of options: -inf is an option of probability 0.
        table = pad_sequence(scores, batch_first=True, padding_value=-torch.inf)
        target = torch.tensor([item.target for item in items], device=hidden.device)
        return F.cross_entropy(table, target, reduction="sum")

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """An item's scores, (options,)."""
        return [s.detach().cpu().numpy() for s in option_scores(head, hidden, items)]

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """The index of the best option."""
        chosen: list[Any] = [None] * len(examples)
        for item, scores in zip(items, outputs, strict=True):
            chosen[item.example] = int(np.argmax(scores))
        return chosen

    def answers(
        self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]
    ) -> Sequence[Answered]:
        """The best option, and the probability of each."""
        best = self.decode(examples, items, outputs)
        chances = {
            item.example: softmax(scores).tolist() for item, scores in zip(items, outputs, strict=True)
        }
        return [
            Choice(at, row.options[at], tuple(chances[i]))
            for i, (row, at) in enumerate(zip(typed(examples, Chosen), best, strict=True))
        ]

    def counts(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, Counts]:
        rows = typed(examples, Chosen)
        check_scored(rows, predictions, lambda r: r.label is None)
        for row in rows:
            check_options(row)
        return {"accuracy": hits([r.label == p for r, p in zip(rows, predictions, strict=True)])}

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """The position that is most often right in training, and the longest option, in characters."""
        rows = {lang: typed(test, Chosen) for lang, test in tests.items()}
        scores = {
            "longest option": {
                lang: self.score(test, [int(np.argmax([len(option) for option in r.options])) for r in test])
                for lang, test in rows.items()
            }
        }
        counts = Counter(r.label for r in typed(train, Chosen) if r.label is not None)
        if counts:
            majority = max(sorted(counts), key=lambda k: counts[k])
            scores["majority position"] = {
                lang: self.score(test, [majority] * len(test)) for lang, test in rows.items()
            }
        return scores


def option_scores(head: nn.Module, hidden: Tensor, items: Sequence[Item]) -> list[Tensor]:
    """(sequences, H) -> one (options,) an item."""
    import torch

    from xadapt.kinds.heads import first_token_logits

    logits = first_token_logits(head, hidden).squeeze(1)
    return list(torch.split(logits, [len(item.sequences) for item in items]))


def check_options(row: Chosen) -> None:
    """Refuse an example whose label names none of its options."""
    if not row.options or (row.label is not None and not 0 <= row.label < len(row.options)):
        raise UserError(
            f"example {row.id!r} has {len(row.options)} options and the label {row.label}",
            expected="a label that indexes the options, from 0",
            do="look whether the file counts from 1, or lost a column",
        )


def longest_first(lengths: Sequence[int], room: int) -> list[int]:
    """What is left of each part when the longest is cut until all fit into ``room``; of equally long ones
    the first is cut first."""
    left = list(lengths)
    while (over := sum(left) - room) > 0:
        longest = max(range(len(left)), key=lambda k: left[k])
        # Down to the next longest at once, or by one where they are equally long.
        others = max((n for k, n in enumerate(left) if k != longest), default=0)
        left[longest] -= min(over, max(left[longest] - others, 1))
    return left
