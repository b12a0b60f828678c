"""A text or a pair of texts gets one label of a closed set: NLI, paraphrase."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xadapt.common.randomness import generator
from xadapt.kinds.answers import Answered, Labelled, softmax
from xadapt.kinds.checks import check_scored, label_index, readable, typed
from xadapt.kinds.encoding import sequences
from xadapt.kinds.kind import Baselines, Item, Kind
from xadapt.kinds.metrics import Counts, binary_f1, hits
from xadapt.kinds.words import words
from xadapt.tasks.examples import Classified, Example

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from xadapt.backbone.packing import Packed

_BASELINE_EXAMPLES = 10_000  # training examples a baseline is fitted on: a few seconds


class Classify(Kind):
    """The head is HF's ``XLMRobertaClassificationHead``, so that head and backbone together are an
    ``XLMRobertaForSequenceClassification``. An item is an example, its target the label's index."""

    serves = "classify"
    metrics = ("accuracy", "f1")
    labelled = True

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """``<s> A </s>``, or ``<s> A </s></s> B </s>``, cut from the longer text first."""
        unlabelled = (lambda r: r.label is None) if training else None
        rows = readable(examples, Classified, max_length, unlabelled=unlabelled)
        targets = [None if r.label is None else label_index(r.label, self.ids, r.id) for r in rows]
        texts = [r.text if r.pair is None else (r.text, r.pair) for r in rows]
        encoded = sequences(tokenizer, texts, max_length)
        return [Item(i, (s,), t) for i, (s, t) in enumerate(zip(encoded, targets, strict=True))]

    def head(self, config: PretrainedConfig) -> nn.Module:
        from xadapt.kinds.heads import sequence_head

        return sequence_head(config, len(self.task.labels))

    def reads(self, batch: Packed, items: Sequence[Item]) -> Tensor:
        """Each sequence's ``<s>``, in the caller's order."""
        return batch.starts

    def units(self, items: Sequence[Item]) -> int:
        """Examples."""
        return len(items)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        """Cross entropy, summed over examples."""
        import torch
        import torch.nn.functional as F

        from xadapt.kinds.heads import first_token_logits

        target = torch.tensor([item.target for item in items], device=hidden.device)
        return F.cross_entropy(first_token_logits(head, hidden), target, reduction="sum")

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """An item's logits, (labels,)."""
        from xadapt.kinds.heads import first_token_logits

        return list(first_token_logits(head, hidden).detach().cpu().numpy())

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """The likeliest label."""
        labels: list[Any] = [None] * len(examples)
        for item, logits in zip(items, outputs, strict=True):
            labels[item.example] = self.task.labels[int(np.argmax(logits))]
        return labels

    def answers(
        self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]
    ) -> Sequence[Answered]:
        """The likeliest label, and the probability of each."""
        labels = self.decode(examples, items, outputs)
        chances = {
            item.example: softmax(logits).tolist() for item, logits in zip(items, outputs, strict=True)
        }
        return [
            Labelled(label, dict(zip(self.task.labels, chances[i], strict=True)))
            for i, label in enumerate(labels)
        ]

    def counts(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, Counts]:
        """Accuracy; F1 is that of the second label, as GLUE has it for QQP (not duplicate, duplicate)."""
        rows = typed(examples, Classified)
        check_scored(rows, predictions, lambda r: r.label is None)
        gold = [r.label or "" for r in rows]
        for row in rows:
            label_index(row.label or "", self.ids, row.id)
        counts = {
            "accuracy": hits([g == p for g, p in zip(gold, predictions, strict=True)]),
            "f1": binary_f1(gold, list(predictions), self.task.labels[-1]),
        }
        return {m: counts[m] for m in self.task.metrics}

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """The majority class; for pairs also what word overlap alone, and the second text alone, give away
        (Gururangan et al. 2018, arXiv 1803.02324; McCoy et al. 2019, arXiv 1902.01007)."""
        rows = typed(train, Classified)
        labels = [r.label for r in rows]
        known = [i for i, label in enumerate(labels) if label is not None]
        if not known:
            return {}
        counts = Counter(labels)
        majority = max(self.task.labels, key=lambda label: counts[label])
        scores = {
            "majority class": {lang: self.score(test, [majority] * len(test)) for lang, test in tests.items()}
        }
        if len(known) > _BASELINE_EXAMPLES:
            drawn = generator("baseline", self.task.name).permutation(len(known))[:_BASELINE_EXAMPLES]
            known = [known[i] for i in sorted(drawn)]
        few = [rows[i] for i in known]
        gold = [r.label for r in few]
        asked = {lang: typed(test, Classified) for lang, test in tests.items()}
        if len(set(gold)) < 2 or any(r.pair is None for rows in (few, *asked.values()) for r in rows):
            return scores
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.linear_model import LogisticRegression

        grams = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=2**16, dtype=np.float32)

        def second(rows: Sequence[Classified]) -> Any:
            return grams.transform([r.pair or "" for r in rows])

        for name, features in (("overlap only", overlap_features), ("second text only", second)):
            model = LogisticRegression(max_iter=100, tol=1e-3).fit(features(few), gold)
            scores[name] = {
                lang: self.score(tests[lang], model.predict(features(rows)).tolist())
                for lang, rows in asked.items()
            }
        return scores


def overlap_features(rows: Sequence[Classified]) -> np.ndarray:
    """(examples, 4), each 0..1: Jaccard, share of the second text's words in the first and the reverse,
    and the ratio of the shorter to the longer."""
    out = np.zeros((len(rows), 4))
    for i, row in enumerate(rows):
        one, two = words(row.text), words(row.pair or "")
        a, b = set(one), set(two)
        both = len(a & b)
        out[i] = (
            both / max(len(a | b), 1),
            both / max(len(b), 1),
            both / max(len(a), 1),
            min(len(one), len(two)) / max(len(one), len(two), 1),
        )
    return out
