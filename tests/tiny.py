"""A random XLM-R of a few thousand weights and a tokenizer for it, built on the spot."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizerFast

from xadapt.backbone.backbone import Backbone

SHARED = Path(__file__).parents[2] / "shared"

TEXT = [
    "the old man eats a red apple in the park",
    "der alte Mann isst einen roten Apfel im Park",
    "el hombre viejo come una manzana roja en el parque",
    "Anna lives in Berlin and works for Acme .",
    "who eats the apple ? where does the woman sing ? nobody knows",
]


def tiny_tokenizer(vocabulary: int = 300) -> XLMRobertaTokenizerFast:
    """A BPE tokenizer in XLM-R's layout."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=vocabulary - 1, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False
        ),
    )
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return XLMRobertaTokenizerFast(tokenizer_object=tokenizer)


def tiny_config(**changes: object) -> XLMRobertaConfig:
    """4 layers of width 32; no dropout."""
    options: dict[str, object] = {
        "vocab_size": 300,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 130,
        "type_vocab_size": 1,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.1,
    }
    return XLMRobertaConfig(**(options | changes))


def tiny_model(seed: int = 0, **changes: object) -> XLMRobertaModel:
    """HF's own encoder, random weights; biases are random too, or half of the model would go untested."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = XLMRobertaModel(tiny_config(**changes), add_pooling_layer=False)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def tiny_backbone(seed: int = 0, **changes: object) -> Backbone:
    """The same as a backbone."""
    return Backbone("tiny", tiny_model(seed, **changes), tiny_tokenizer())


def save_tiny(folder: Path, seed: int = 0, **changes: object) -> Path:
    """A local checkpoint in HF format."""
    tiny_model(seed, **changes).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
