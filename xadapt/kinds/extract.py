"""A question is answered by a span of a context: SQuAD, XQuAD, MLQA, TyDiQA."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xadapt.common.errors import UserError
from xadapt.kinds.answers import Found
from xadapt.kinds.checks import check_scored, readable, typed
from xadapt.kinds.encoding import chunks, compact, pieces, tokenized
from xadapt.kinds.kind import Baselines, Item, Kind
from xadapt.kinds.metrics import Counts, answer_counts, mlqa_words, squad_words
from xadapt.tasks.examples import Answer, Example, Extracted

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

    from xadapt.backbone.packing import Packed

ANSWER_TOKENS = 30  # the longest answer that is predicted, as in BERT's run_squad.py and XTREME
QUESTION_TOKENS = 64  # what is kept of a question, likewise


class Window(NamedTuple):
    """An item's note: where its part of the context lies.

    Attributes:
        at: the index in the sequence of its first context token.
        offsets: (tokens, 2) the characters [start, stop) of the context that each context token covers.
    """

    at: int
    offsets: np.ndarray


class Span(NamedTuple):
    """An item's output: the best span of its window, and what says that there is none.

    Attributes:
        score: the span's start logit plus its end logit; -inf where the window holds no context.
        null: the same of ``<s>``.
        start, stop: characters of the context.
    """

    score: float
    null: float
    start: int
    stop: int


class Extract(Kind):
    """Reading as for SQuAD (Devlin et al. 2019, arXiv 1810.04805, sections 4.2 and 4.3): a context longer
    than ``max_length`` is read in windows that share ``task.stride`` tokens; the best span over all of them
    is the answer. An item is a window, its target the answer's first and last token, or ``<s>`` twice where
    the window does not hold all of the first gold answer."""

    serves = "extract"
    metrics = ("f1", "exact_match")

    def encode(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerFast,
        max_length: int,
        *,
        training: bool,
    ) -> list[Item]:
        """``<s> question </s></s> window </s>``, the windows that HF's ``truncation="only_second"`` with
        ``return_overflowing_tokens`` gives; each context is tokenised once, SQuAD's have five questions.
        A question keeps 64 tokens and at most half the room."""
        unlabelled = (lambda r: r.answers is None) if training else None
        rows = readable(examples, Extracted, max_length, unlabelled=unlabelled)
        questions = pieces(tokenizer, [r.question for r in rows])
        contexts = with_offsets(tokenizer, [r.context for r in rows])
        begin, end = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        items = []
        for i, row in enumerate(rows):
            question = questions[row.question][: min(QUESTION_TOKENS, (max_length - 4) // 2)]
            ids, offsets = contexts[row.context]
            at = len(question) + 3
            gold = answer_tokens(offsets, row.answers[0]) if row.answers else None
            for first, last in windows(len(ids), max_length - 4 - len(question), self.task.stride):
                target: tuple[int, int] | None = None if row.answers is None else (0, 0)
                if gold and first <= gold[0] and gold[1] < last:
                    target = (at + gold[0] - first, at + gold[1] - first)
                sequence = compact(np.concatenate([begin, question, end, end, ids[first:last], end]))
                items.append(Item(i, (sequence,), target, Window(at, offsets[first:last])))
        return items

    def head(self, config: PretrainedConfig) -> nn.Module:
        from xadapt.kinds.heads import SpanHead, as_hf

        return as_hf(SpanHead(config), config)

    def units(self, items: Sequence[Item]) -> int:
        """Windows."""
        return len(items)

    def loss(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> Tensor:
        """The mean of the cross entropies of start and end among a window's tokens, summed over windows.
        HF's padded loss counts the padding's logits in; here there is none."""
        import torch

        from xadapt.kinds.heads import in_float32, per_sequence

        logits = in_float32(head, hidden)
        everything = per_sequence(batch, logits, lambda x: torch.logsumexp(x, 1))  # (N, 2)
        target = torch.tensor([item.target for item in items], device=hidden.device)
        picked = logits.gather(0, batch.starts.unsqueeze(1) + target)  # (N, 2)
        return (everything - picked).sum() / 2

    def outputs(self, head: nn.Module, hidden: Tensor, batch: Packed, items: Sequence[Item]) -> list[Any]:
        """A ``Span`` an item: exactly the best, over all starts and all lengths up to 30 tokens."""
        from xadapt.kinds.heads import in_float32

        logits = in_float32(head, hidden).detach().cpu().numpy()
        begins = batch.starts.cpu().numpy()
        # (T,) for the context's tokens: the last of their window, and whether they cover any character;
        # a span starts and ends with tokens that do.
        last, solid = np.full(len(logits), -1), np.zeros(len(logits), dtype=bool)
        for begin, item in zip(begins, items, strict=True):
            a = begin + item.note.at
            b = a + len(item.note.offsets)
            last[a:b] = b - 1
            solid[a:b] = item.note.offsets[:, 1] > item.note.offsets[:, 0]
        start = np.flatnonzero(solid)
        stop = start[:, None] + np.arange(ANSWER_TOKENS)
        fits = stop <= last[start, None]
        stop = np.minimum(stop, len(logits) - 1)
        score = logits[start, :1] + np.where(fits & solid[stop], logits[stop, 1], -np.inf)
        length = score.argmax(1)
        score = score[np.arange(len(start)), length]
        spans = []
        for begin, item in zip(begins, items, strict=True):
            a = begin + item.note.at
            lo, hi = np.searchsorted(start, [a, a + len(item.note.offsets)])
            null = float(logits[begin].sum())
            if lo == hi:
                spans.append(Span(-np.inf, null, 0, 0))
                continue
            k = lo + int(score[lo:hi].argmax())
            first, final = start[k] - a, start[k] + length[k] - a
            offsets = item.note.offsets
            spans.append(Span(float(score[k]), null, int(offsets[first, 0]), int(offsets[final, 1])))
        return spans

    def decode(self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]) -> list[Any]:
        """An answer's text as it stands in the context. Where a task may have none, "" if ``<s>`` scores
        higher: its lowest score over the windows, threshold 0 (SQuAD v2.0)."""
        return [found.answer for found in self.answers(examples, items, outputs)]

    def answers(
        self, examples: Sequence[Example], items: Sequence[Item], outputs: Sequence[Any]
    ) -> Sequence[Found]:
        """As ``decode``, with the answer's place in the context."""
        rows = typed(examples, Extracted)
        best: list[Span] = [Span(-np.inf, np.inf, 0, 0)] * len(rows)
        for item, span in zip(items, outputs, strict=True):
            old = best[item.example]
            null = min(old.null, span.null)
            best[item.example] = (span if span.score > old.score else old)._replace(null=null)
        return [self._found(row, span) for row, span in zip(rows, best, strict=True)]

    def _found(self, row: Extracted, span: Span) -> Found:
        text = row.context[span.start : span.stop]
        answer, score = text.strip(), span.score - span.null
        if not answer or (self.task.unanswerable and score < 0):
            return Found("", None, None, score)
        start = span.start + len(text) - len(text.lstrip())
        return Found(answer, start, start + len(answer), score)

    def counts(
        self, examples: Sequence[Example], predictions: Sequence[Any], *, language: str | None = None
    ) -> dict[str, Counts]:
        """SQuAD's exact match and F1; MLQA's own form of them for MLQA, where the language is named."""
        rows = typed(examples, Extracted)
        check_scored(rows, predictions, lambda r: r.answers is None)
        own = language is not None and self.task.name == "mlqa"
        words = mlqa_words(language or "") if own else squad_words
        if not self.task.unanswerable and (bare := [r for r in rows if not r.answers]):
            raise UserError(
                f"question {bare[0].id!r} of {self.task.name!r} has no answer",
                expected="one or more: only SQuAD v2.0 asks what cannot be answered",
                do="look whether the file belongs to this task",
            )
        golds = [[a.text for a in r.answers or ()] for r in rows]
        counts = answer_counts(golds, predictions, words, unanswerable=self.task.unanswerable)
        return {m: counts[m] for m in self.task.metrics}

    def baselines(self, train: Sequence[Example], tests: Mapping[str, Sequence[Example]]) -> Baselines:
        """The sentence that shares most character pairs with the question; where questions may have no
        answer, also never answering."""
        rows = {lang: typed(test, Extracted) for lang, test in tests.items()}
        scores = {
            "likeliest sentence": {
                lang: self.score(test, [likeliest_sentence(r) for r in test], language=lang)
                for lang, test in rows.items()
            }
        }
        if self.task.unanswerable:
            scores["no answer"] = {
                lang: self.score(test, [""] * len(test), language=lang) for lang, test in rows.items()
            }
        return scores


def with_offsets(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each distinct text's token ids, (n,), and the characters that they cover, (n, 2)."""
    distinct = list(dict.fromkeys(texts))
    out: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for part in chunks(len(distinct)):
        encoded = tokenized(tokenizer, [distinct[i] for i in part], return_offsets_mapping=True)
        for i, ids, pairs in zip(part, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            offsets = np.asarray(pairs, dtype=np.int32).reshape(-1, 2)
            out[distinct[i]] = np.asarray(ids, dtype=np.int32), offsets
    return out


def windows(tokens: int, room: int, stride: int) -> Iterator[tuple[int, int]]:
    """Runs [first, last) of at most ``room`` of a context's tokens, neighbours sharing ``stride`` of them,
    up to three quarters of the room; one empty run where there are none."""
    step = room - min(stride, room * 3 // 4)
    first = 0
    while first + room < tokens:
        yield first, first + room
        first += step
    yield first, tokens


def answer_tokens(offsets: np.ndarray, answer: Answer) -> tuple[int, int] | None:
    """The first and the last token that touch the answer's characters; None where none does."""
    # Running maxima: a tokenizer that expands a character ("½") gives its parts the same offsets.
    starts, stops = np.maximum.accumulate(offsets, axis=0).T
    first = int(np.searchsorted(stops, answer.start, side="right"))
    last = int(np.searchsorted(starts, answer.start + len(answer.text), side="left")) - 1
    return (first, last) if first <= last else None


def likeliest_sentence(row: Extracted) -> str:
    """The first of the context's sentences that shares the largest part of the question's character pairs."""

    def pairs(text: str) -> set[str]:
        text = text.lower()
        return {text[i : i + 2] for i in range(len(text) - 1)}

    asked = pairs(row.question)
    sentences = [s.strip() for s in re.split(r"(?<=[.!?。！？؟।])\s*|\n+", row.context) if s.strip()]
    return max(sentences, key=lambda s: len(asked & pairs(s)), default="")
