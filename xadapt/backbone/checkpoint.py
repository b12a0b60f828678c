"""A checkpoint of the architecture ``xlm-roberta``: where it lies, and whether its files belong together.

HF's code meets a malformed file with whatever exception its own code runs into, or takes a part of the
weights without a word. What can be known is therefore checked first, and the rest is caught here.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    XLMRobertaModel,
)
from transformers.utils import logging as hf_logging

from xadapt.common.errors import UserError
from xadapt.common.hub import hub_answers
from xadapt.common.rules import Rule, whole_number

_POCKET = Path(__file__).parents[1] / "data" / "pocket"
# Three sizes of one recipe, so that questions about size can be asked of the pocket world.
POCKETS: Final[Mapping[str, Path]] = {
    "pocket": _POCKET / "model",
    "pocket-medium": _POCKET / "model-medium",
    "pocket-small": _POCKET / "model-small",
}
HUB_EXAMPLES = "FacebookAI/xlm-roberta-base"

# The XL and XXL checkpoints have an HF class of their own (layer norm before the
# block, not behind it) with the same attention inside.
MODEL_TYPES = ("xlm-roberta", "xlm-roberta-xl")

_TOKENIZER_FILES = ("tokenizer.json", "sentencepiece.bpe.model")
_DTYPES = ("float32", "float16", "bfloat16", "float64")
_DTYPE = Rule(f"one of {', '.join(_DTYPES)}", lambda v: v in _DTYPES)
_RULES: Final[Mapping[str, Rule]] = {
    "vocab_size": whole_number(1, 10**7),
    "hidden_size": whole_number(1, 10**6),
    "num_hidden_layers": whole_number(1, 999),
    "num_attention_heads": whole_number(1, 10**4),
    "intermediate_size": whole_number(1, 10**7),
    "max_position_embeddings": whole_number(1, 10**7),
    "type_vocab_size": whole_number(1, 10**4),
    "pad_token_id": whole_number(0, 10**7),
    "dtype": _DTYPE,
    "torch_dtype": _DTYPE,
}


@dataclass(frozen=True)
class Checkpoint:
    """Where a backbone's files are.

    Attributes:
        name: as the user gave it.
        place: a folder, or a hub id.
        local: whether it is a folder.
        cached: the hub does not answer; what an earlier run downloaded still serves.
    """

    name: str
    place: str
    local: bool
    cached: bool

    @classmethod
    def named(cls, name: str) -> Self:
        """What ``pocket``, a folder's path or a hub id means.

        Raises:
            UserError: no such folder, or no name that a backbone could have.
        """
        place, local = _place(name)
        return cls(name, place, local, not local and not hub_answers())

    def config(self) -> PretrainedConfig:
        """HF's configuration of the encoder.

        Raises:
            UserError: none is there, another architecture, values that no encoder can have,
                quantised weights.
        """
        if self.local and not (Path(self.place) / "config.json").is_file():
            raise UserError(
                f"backbone {self.name!r}: no config.json in {self.place}",
                expected="a folder as AutoModel.save_pretrained and AutoTokenizer.save_pretrained write it",
                do="save the model and its tokenizer there, or name the right folder",
            )
        with self._opened():
            raw, _ = PretrainedConfig.get_config_dict(self.place, local_files_only=self.cached)
            if not isinstance(raw, dict):
                raise ValueError("config.json is not a JSON object")
        if raw.get("model_type") in MODEL_TYPES:  # of others their name says enough
            self._check(raw)
        with self._opened():
            config = AutoConfig.from_pretrained(self.place, local_files_only=self.cached)
        if config.model_type not in MODEL_TYPES:
            raise UserError(
                f"backbone {self.name!r} has the architecture {config.model_type!r}",
                expected="xlm-roberta (or xlm-roberta-xl)",
                do=f"take an XLM-R checkpoint, such as {HUB_EXAMPLES!r}",
            )
        if config.pad_token_id >= min(config.vocab_size, config.max_position_embeddings - 1):
            raise self._refused(
                f"pad_token_id={config.pad_token_id}",
                f"below vocab_size={config.vocab_size} and max_position_embeddings="
                f"{config.max_position_embeddings}: XLM-R counts positions from the one behind it",
            )
        return config

    def encoder(self, config: PretrainedConfig) -> XLMRobertaModel:
        """The encoder in float32, without a pooler.

        Raises:
            UserError: the weights are not those of ``config``: some are missing, of another shape,
                or left over.
        """
        with self._opened():
            model, report = AutoModel.from_pretrained(
                self.place,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                add_pooling_layer=False,
                output_loading_info=True,
                local_files_only=self.cached,
            )
            # HF draws what is missing at random and says so in a warning.
            if missing := sorted(report["missing_keys"]):
                raise KeyError(f"{len(missing)} weights missing, {missing[0]} first")
        # Heads and the pooler are left over on purpose; a part of the encoder is not.
        if extra := sorted(key for key in report["unexpected_keys"] if "encoder.layer." in f".{key}"):
            raise self._refused(
                f"{len(extra)} weights of the encoder that config.json has no place for, such as {extra[0]}",
                f"num_hidden_layers={config.num_hidden_layers} and weights for as many layers",
            )
        return model

    def tokenizer(self, config: PretrainedConfig) -> PreTrainedTokenizerFast:
        """The checkpoint's own fast tokenizer.

        Raises:
            UserError: none is there, it is no fast one, or it has more tokens than there are embeddings.
        """
        if self.local and not any((Path(self.place) / name).is_file() for name in _TOKENIZER_FILES):
            raise self._no_tokenizer("no tokenizer.json")
        with self._opened():
            tokenizer = AutoTokenizer.from_pretrained(self.place, use_fast=True, local_files_only=self.cached)
        if not getattr(tokenizer, "is_fast", False):
            raise self._no_tokenizer("no fast tokenizer (tokenizer.json)")
        if len(tokenizer) > config.vocab_size:
            raise self._refused(
                f"a tokenizer of {len(tokenizer)} tokens", f"at most vocab_size={config.vocab_size}"
            )
        return tokenizer

    def with_lm_head(self) -> tuple[Any, dict[str, Any]]:
        """The model with its masked-language-modelling head, float32, and what HF says of its loading."""
        with self._opened():
            return AutoModelForMaskedLM.from_pretrained(
                self.place,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=self.cached,
            )

    def _check(self, raw: Mapping[str, Any]) -> None:
        """Refuse values that no encoder can have, before HF's code meets them; all of them are named."""
        if raw.get("quantization_config"):
            raise self._refused(
                "quantised weights (quantization_config)",
                "plain weights: modules are trained on them and merged into them",
            )
        wrong = [k for k, rule in _RULES.items() if raw.get(k) is not None and not rule.holds(raw[k])]
        if wrong:
            raise self._refused(
                ", ".join(f"{key}={reprlib.repr(raw[key])}" for key in wrong),
                "; ".join(f"{key}: {_RULES[key].words}" for key in wrong),
            )

    def _refused(self, got: str, expected: str) -> UserError:
        return UserError(
            f"backbone {self.name!r} has {got}",
            expected=expected,
            do="put back the checkpoint's own config.json, weights and tokenizer, or take another "
            f"checkpoint, such as {HUB_EXAMPLES!r}",
        )

    def _no_tokenizer(self, got: str) -> UserError:
        return UserError(
            f"backbone {self.name!r}: {got}",
            expected="the checkpoint's tokenizer beside its weights",
            do="save one there: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
        )

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """HF at work: without its notes on heads that are left out on purpose, its errors in words."""
        level = hf_logging.get_verbosity()
        hf_logging.set_verbosity_error()
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # tokenizers raises the bare class, and a malformed file anything
            raise self._cannot_open(error) from error
        finally:
            hf_logging.set_verbosity(level)

    def _cannot_open(self, error: Exception) -> UserError:
        first_line = str(error).strip("'\" \n").partition("\n")[0] or type(error).__name__
        if self.local:
            return UserError(
                f"backbone {self.name!r} cannot be opened: {first_line}",
                expected="config.json, model.safetensors and tokenizer.json of one XLM-R checkpoint "
                "(no pickled weights)",
                do=f"look into {self.place}; weights saved as .bin are written anew by "
                "AutoModel.from_pretrained(...).save_pretrained(folder)",
            )
        if self.cached:
            first_line = "the hub does not answer, and no earlier download is there"
        return UserError(
            f"backbone {self.name!r} cannot be had from the hub: {first_line}",
            expected=f"a hub id that exists, such as {HUB_EXAMPLES!r}, and a hub that answers",
            do="check the spelling and the connection (HF_ENDPOINT and HF_TOKEN are honoured), "
            "or download the checkpoint elsewhere and name its folder",
        )


def _place(name: str) -> tuple[str, bool]:
    """Where HF should look, and whether that is a folder."""
    if name in POCKETS:
        return str(POCKETS[name]), True
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path), True
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or path.exists():
        raise UserError(
            f"backbone {name!r}: there is no such folder",
            expected=f"{', '.join(POCKETS)}, a hub id such as {HUB_EXAMPLES!r}, "
            "or a folder with config.json, model.safetensors and tokenizer.json",
            do="check the path",
        )
    if "/" not in name:
        raise UserError(
            f"unknown backbone {name!r}",
            expected=f"{', '.join(POCKETS)}, a hub id such as {HUB_EXAMPLES!r}, "
            "or a local folder in HF format",
            do="write ./NAME for a folder here",
        )
    return name, False
