"""The pocket tokenizer: byte-free BPE in XLM-R's layout, trained on generated text.

``<s> <pad> </s> <unk>`` are 0..3 and ``<mask>`` is last; pairs are ``<s> A </s></s> B </s>``. Words
carry XLM-R's ``▁``; punctuation is a piece of its own, so that text and pre-split words meet the same
pieces. Whitespace is split off first: a piece's offsets never include the space before it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from corpus import Corpus
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import XLMRobertaTokenizerFast

from xadapt.data.pocket.lexicon import LANGUAGES, Lexicon
from xadapt.data.pocket.phrases import spell

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]
PUNCTUATION = ".?!,।¿"


def texts(lexicon: Lexicon, documents: int, seed: str) -> Iterator[str]:
    """Sentences, questions and definitions, as many in each language."""
    corpus = Corpus(lexicon, random.Random(seed))
    for _ in range(documents // len(LANGUAGES)):
        frame = corpus.sampler.draw()
        form = corpus.form(frame)
        question = corpus.question(corpus.sampler.draw())
        for lang in LANGUAGES:
            yield spell(corpus.say(lang, frame, form))[0]
            yield spell(corpus.say(lang, *question))[0]
            yield spell(corpus.definition(lang))[0]


def train_tokenizer(
    lexicon: Lexicon, size: int = 3000, documents: int = 60000, seed: str = "bpe"
) -> Tokenizer:
    """BPE of ``size`` pieces, ``<mask>`` included."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex("[" + PUNCTUATION + "]"), "isolated"),
            pre_tokenizers.Metaspace(prepend_scheme="always"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=size - 1, special_tokens=SPECIALS, show_progress=False)
    tokenizer.train_from_iterator(texts(lexicon, documents, seed), trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def as_transformers(tokenizer: Tokenizer, longest: int) -> XLMRobertaTokenizerFast:
    """The class that ``AutoTokenizer`` opens for XLM-R."""
    return XLMRobertaTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=longest,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
    )
