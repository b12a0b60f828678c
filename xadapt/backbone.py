"""The backbone: a frozen encoder of the architecture ``xlm-roberta``, its tokenizer, its fingerprint."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
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

from xadapt.errors import UserError
from xadapt.packing import pack_attention
from xadapt.reach import hub_answers

POCKET = Path(__file__).parent / "pocket" / "model"
HUB_EXAMPLES = "FacebookAI/xlm-roberta-base"

# The XL and XXL checkpoints have an HF class of their own (layer norm before the
# block, not behind it) with the same attention inside.
MODEL_TYPES = ("xlm-roberta", "xlm-roberta-xl")

# Below this width a step is bound by calls, not by products, and bf16 gains nothing.
BF16_WIDTH = 512


class Backbone:
    """A frozen XLM-R. Nothing ever changes its weights or its module tree: stacks are
    mounted on a ``skeleton``, a copy of the tree that shares the tensors.

    Attributes:
        name: as the user gave it.
        model: embeddings and encoder with packed attention, frozen, in eval mode.
        tokenizer: the checkpoint's own fast tokenizer.
        fingerprint: of float32 weights and tokenizer; whatever dtype and device are in use.
        tokenizer_digest: of the tokenizer alone.
        device, dtype: where it runs and in what.
    """

    def __init__(
        self,
        name: str,
        model: XLMRobertaModel,
        tokenizer: PreTrainedTokenizerFast,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        checkpoint: tuple[str, bool] | None = None,
    ) -> None:
        """``checkpoint`` is where the weights came from, for HF, and whether the hub is not to be asked."""
        self.name = name
        self._checkpoint = checkpoint
        self._lm_head: dict[str, Tensor] | None = None
        self.tokenizer = tokenizer
        # Parsed now: calls with truncation or padding change the tokenizer's own record of itself.
        vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())
        vocabulary.pop("truncation", None)
        vocabulary.pop("padding", None)
        self.tokenizer_digest = hashlib.sha256(json.dumps(vocabulary, sort_keys=True).encode()).hexdigest()
        pack_attention(model)
        model.eval().requires_grad_(False)
        self.fingerprint = self._hash(model)
        model.to(device=device, dtype=dtype)  # type: ignore[call-arg]  # a decorator hides its signature
        self.model = model
        self.device = torch.device(device)
        self.dtype = dtype
        self._loaded = self.fingerprint if dtype == torch.float32 else self._hash(self.model)

    @property
    def config(self) -> PretrainedConfig:
        """HF's configuration of the encoder."""
        return self.model.config

    @property
    def layers(self) -> int:
        """How many layers the encoder has."""
        return self.config.num_hidden_layers

    @property
    def max_length(self) -> int:
        """The longest sequence in tokens; XLM-R's first two positions are not used."""
        return self.config.max_position_embeddings - self.config.pad_token_id - 1

    @classmethod
    def from_pretrained(cls, name: str, *, device: str = "auto", dtype: str = "auto") -> Self:
        """Open ``pocket``, a local folder in HF format, or a hub id.

        Args:
            name: which.
            device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``.
            dtype: ``auto`` (bf16 where the hardware has it and the width gains from it),
                ``float32`` or ``bfloat16``.

        Raises:
            UserError: no such folder, files missing in it, another architecture, no
                such repository, the hub out of reach, weights only as a pickle.
        """
        place, local = _place(name)
        # Without the hub, what an earlier run downloaded still serves.
        cached = not local and not hub_answers()
        config = _config(name, place, local, cached)
        chosen_device = _device(device)
        chosen_dtype = _dtype(dtype, chosen_device, config)
        try:
            with _quiet():
                tokenizer = AutoTokenizer.from_pretrained(place, use_fast=True, local_files_only=cached)
                model, report = AutoModel.from_pretrained(
                    place,
                    config=config,
                    dtype=torch.float32,
                    use_safetensors=True,
                    add_pooling_layer=False,
                    output_loading_info=True,
                    local_files_only=cached,
                )
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise _cannot_open(name, place, local, error, cached) from error
        # HF draws what is missing at random and says so in a warning.
        if missing := sorted(report["missing_keys"]):
            raise _cannot_open(
                name, place, local, KeyError(f"{len(missing)} weights missing, {missing[0]} first")
            )
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(
                f"backbone {name!r} has no fast tokenizer (tokenizer.json)",
                do="save one beside the weights: AutoTokenizer.from_pretrained(...).save_pretrained(folder)",
            )
        return cls(
            name,
            model,
            tokenizer,
            device=chosen_device,
            dtype=chosen_dtype,
            checkpoint=(place, cached),
        )

    def lm_head(self) -> dict[str, Tensor] | None:
        """The checkpoint's masked-language-modelling head but for the word embeddings, which are the
        encoder's own: ``dense.*``, ``layer_norm.*``, ``bias``, float32; None where it has none. Read when it
        is first asked for."""
        if self._lm_head is None and self._checkpoint is not None:
            place, cached = self._checkpoint
            with _quiet():
                whole, report = AutoModelForMaskedLM.from_pretrained(
                    place,
                    dtype=torch.float32,
                    use_safetensors=True,
                    output_loading_info=True,
                    local_files_only=cached,
                )
            named = {k: p.detach().clone() for k, p in whole.lm_head.named_parameters()}
            kept = {k: p for k, p in named.items() if not k.startswith("decoder.")}
            missing = {key.removeprefix("lm_head.") for key in report["missing_keys"]}
            self._lm_head = {} if missing & set(kept) else kept
        return self._lm_head or None

    def lm_head_digest(self) -> str | None:
        """What identifies ``lm_head``: the fingerprint leaves it out."""
        head = self.lm_head()
        if head is None:
            return None
        sha = hashlib.sha256()
        for key in sorted(head):
            sha.update(key.encode())
            sha.update(_bytes(head[key]))
        return sha.hexdigest()

    def skeleton(self) -> XLMRobertaModel:
        """A new module tree over the very same tensors, for a stack to be mounted on."""
        shared: dict[int, Any] = {id(t): t for t in (*self.model.parameters(), *self.model.buffers())}
        return copy.deepcopy(self.model, shared)

    def unfrozen(self) -> XLMRobertaModel:
        """A copy with float32 weights of its own, for full fine-tuning."""
        return copy.deepcopy(self.model).float()

    def verify(self) -> None:
        """Prove that the weights are those that were loaded.

        Raises:
            RuntimeError: something changed them: a defect of xadapt, or of what was mounted.
        """
        if self._hash(self.model) != self._loaded:
            raise RuntimeError(f"the weights of backbone {self.name!r} have changed since it was loaded")

    def _hash(self, model: nn.Module) -> str:
        digest = hashlib.sha256(self.tokenizer_digest.encode())
        for key, tensor in sorted(model.state_dict().items()):
            digest.update(f"{key}{tuple(tensor.shape)}".encode())
            digest.update(_bytes(tensor))
        return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy().data


def _place(name: str) -> tuple[str, bool]:
    """Where HF should look, and whether that is a folder."""
    if name == "pocket":
        return str(POCKET), True
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path), True
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or path.exists():
        raise UserError(
            f"backbone {name!r}: there is no such folder",
            expected=f"'pocket', a hub id such as {HUB_EXAMPLES!r}, or a folder with config.json, "
            "model.safetensors and tokenizer.json",
            do="check the path",
        )
    if "/" not in name:
        raise UserError(
            f"unknown backbone {name!r}",
            expected=f"'pocket', a hub id such as {HUB_EXAMPLES!r}, or a local folder in HF format",
            do="write ./NAME for a folder here",
        )
    return name, False


def _config(name: str, place: str, local: bool, cached: bool) -> PretrainedConfig:
    if local and not (Path(place) / "config.json").is_file():
        raise UserError(
            f"backbone {name!r}: no config.json in {place}",
            expected="a folder as AutoModel.save_pretrained and AutoTokenizer.save_pretrained write it",
            do="save the model and its tokenizer there, or name the right folder",
        )
    try:
        config = AutoConfig.from_pretrained(place, local_files_only=cached)
    except (OSError, ValueError) as error:
        raise _cannot_open(name, place, local, error, cached) from error
    if config.model_type not in MODEL_TYPES:
        raise UserError(
            f"backbone {name!r} has the architecture {config.model_type!r}",
            expected="xlm-roberta (or xlm-roberta-xl)",
            do=f"take an XLM-R checkpoint, such as {HUB_EXAMPLES!r}",
        )
    return config


def _cannot_open(name: str, place: str, local: bool, error: Exception, cached: bool = False) -> UserError:
    first_line = str(error).strip("'\" \n").partition("\n")[0] or type(error).__name__
    if local:
        return UserError(
            f"backbone {name!r} cannot be opened: {first_line}",
            expected="config.json, model.safetensors and tokenizer.json of one XLM-R checkpoint "
            "(no pickled weights)",
            do=f"look into {place}; weights saved as .bin are written anew by "
            "AutoModel.from_pretrained(...).save_pretrained(folder)",
        )
    if cached:
        first_line = "the hub does not answer, and no earlier download is there"
    return UserError(
        f"backbone {name!r} cannot be had from the hub: {first_line}",
        expected=f"a hub id that exists, such as {HUB_EXAMPLES!r}, and a hub that answers",
        do="check the spelling and the connection (HF_ENDPOINT and HF_TOKEN are honoured), "
        "or download the checkpoint elsewhere and name its folder",
    )


def _device(wish: str) -> torch.device:
    if wish == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wish)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device {wish!r} cannot be used here: {str(error).splitlines()[0]}",
            expected="auto, cpu, cuda or cuda:N",
            do="leave --device out to take what there is",
        ) from error
    return device


def _dtype(wish: str, device: torch.device, config: PretrainedConfig) -> torch.dtype:
    if wish == "auto":
        gains = config.hidden_size >= BF16_WIDTH and _has_bf16(device)
        return torch.bfloat16 if gains else torch.float32
    named = {
        "float32": torch.float32,
        "fp32": torch.float32,
        "bfloat16": torch.bfloat16,
        "bf16": torch.bfloat16,
    }
    if wish not in named:
        raise UserError(f"unknown dtype {wish!r}", expected="auto, float32 or bfloat16")
    return named[wish]


def _has_bf16(device: torch.device) -> bool:
    """Whether products in bf16 run in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    checks = (getattr(torch.cpu, n, None) for n in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device.type == "cpu" and any(check() for check in checks if check is not None)


@contextmanager
def _quiet() -> Iterator[None]:
    """HF's loading notes are about heads that are left out on purpose."""
    level = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
