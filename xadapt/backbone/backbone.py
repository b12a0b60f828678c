"""The backbone: a frozen encoder of the architecture ``xlm-roberta``, its tokenizer, its fingerprint."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerFast, XLMRobertaModel

from xadapt.backbone.checkpoint import POCKETS, Checkpoint
from xadapt.backbone.encoder import prepare
from xadapt.common.errors import UserError
from xadapt.common.launch import on_this_machine
from xadapt.common.text_tables import html_facts

__all__ = ["BF16_WIDTH", "POCKETS", "Backbone"]

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
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """``checkpoint`` is where the weights came from, if not from memory."""
        self.name = name
        self._checkpoint = checkpoint
        self._lm_head: dict[str, Tensor] | None = None
        self.tokenizer = tokenizer
        # Parsed now: calls with truncation or padding change the tokenizer's own record of itself.
        vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())
        vocabulary.pop("truncation", None)
        vocabulary.pop("padding", None)
        self.tokenizer_digest = hashlib.sha256(json.dumps(vocabulary, sort_keys=True).encode()).hexdigest()
        prepare(model)
        model.eval().requires_grad_(False)
        self.fingerprint = self._hash(model)
        # Full fine-tuning starts from the unrounded weights: read again where they can be, else kept.
        rounded = dtype != torch.float32
        self._unrounded = copy.deepcopy(model) if rounded and checkpoint is None else None
        model.to(device=device, dtype=dtype)  # type: ignore[call-arg]  # a decorator hides its signature
        self.model = model
        self.device = torch.device(device)
        self.dtype = dtype
        self._loaded = self.fingerprint if dtype == torch.float32 else self._hash(self.model)

    @property
    def named(self) -> bool:
        """Whether ``from_pretrained`` with its name opens the same one, in another process too."""
        return self._checkpoint is not None

    @property
    def dtype_name(self) -> str:
        """``float32`` or ``bfloat16``."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def config(self) -> PretrainedConfig:
        """HF's configuration of the encoder."""
        return self.model.config

    @property
    def layers(self) -> int:
        """How many layers the encoder has."""
        return self.config.num_hidden_layers

    @property
    def parameters(self) -> int:
        """How many weights the encoder has, embeddings included."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def layer_parameters(self) -> int:
        """Those of its layers alone: what a token is computed with, however large the vocabulary is."""
        return sum(p.numel() for p in self.model.encoder.parameters())

    @property
    def max_length(self) -> int:
        """The longest sequence in tokens; XLM-R's first two positions are not used."""
        return self.config.max_position_embeddings - self.config.pad_token_id - 1

    @classmethod
    def from_pretrained(cls, name: str, *, device: str = "auto", dtype: str = "auto") -> Self:
        """Open ``pocket``, a local folder in HF format, or a hub id.

        Args:
            name: which.
            device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda``, ``cuda:1``. Of several processes
                each has a GPU of its own.
            dtype: ``auto`` (bf16 where the hardware has it and the width gains from it),
                ``float32`` or ``bfloat16``.

        Raises:
            UserError: no such folder, files missing in it or at odds with one another, another
                architecture, no such repository, the hub out of reach, weights only as a pickle.
        """
        checkpoint = Checkpoint.named(name)
        config = checkpoint.config()
        chosen_device = _device(device)
        chosen_dtype = _dtype(dtype, chosen_device, config)
        return cls(
            name,
            checkpoint.encoder(config),
            checkpoint.tokenizer(config),
            device=chosen_device,
            dtype=chosen_dtype,
            checkpoint=checkpoint,
        )

    def __repr__(self) -> str:
        shape = f"{self.layers} layers of {self.config.hidden_size}, {self.parameters:,} parameters"
        return f"{type(self).__name__}({self.name!r}, {shape}, {self.dtype_name} on {self.device})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return html_facts(
            {
                "backbone": self.name,
                "layers": self.layers,
                "width": self.config.hidden_size,
                "parameters": self.parameters,
                "of them in layers": self.layer_parameters,
                "vocabulary": self.config.vocab_size,
                "longest sequence": self.max_length,
                "type": self.dtype_name,
                "device": str(self.device),
                "fingerprint": self.fingerprint[:16],
            }
        )

    def lm_head(self) -> dict[str, Tensor] | None:
        """The checkpoint's masked-language-modelling head but for the word embeddings, which are the
        encoder's own: ``dense.*``, ``layer_norm.*``, ``bias``, float32; None where it has none. Read when it
        is first asked for."""
        if self._lm_head is None and self._checkpoint is not None:
            whole, report = self._checkpoint.with_lm_head()
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

    def unfrozen(self, *, exact: bool = True) -> XLMRobertaModel:
        """A copy with float32 weights of its own, for full fine-tuning.

        Args:
            exact: with the checkpoint's own weights, also where the backbone runs in bf16. Not needed where
                other weights are to take their place.

        Raises:
            UserError: the checkpoint has to be read again and is not what it was.
        """
        if self.dtype == torch.float32 or not exact:
            return copy.deepcopy(self.model).float()
        if self._unrounded is not None:
            return copy.deepcopy(self._unrounded).to(self.device)  # type: ignore[arg-type]
        assert self._checkpoint is not None
        model = self._checkpoint.encoder(self._checkpoint.config())
        prepare(model)
        model.eval().requires_grad_(False)
        if self._hash(model) != self.fingerprint:
            raise UserError(
                f"backbone {self.name!r} has changed since it was opened",
                expected="the same weights: full fine-tuning starts from them, unrounded",
                do="start again",
            )
        return model.to(self.device)  # type: ignore[arg-type]

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


def _device(wish: str) -> torch.device:
    if wish == "auto":
        wish = "cuda" if torch.cuda.is_available() else "cpu"
    place, processes = on_this_machine()
    if wish == "cuda" and processes > 1:
        if processes > (gpus := torch.cuda.device_count()):
            raise UserError(
                f"{processes} processes, and {gpus} GPUs",
                expected="a GPU for each process",
                do=f"start at most {gpus}, or take --device cpu",
            )
        wish = f"cuda:{place}"
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
        gains = config.hidden_size >= BF16_WIDTH and has_bf16(device)
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


def has_bf16(device: torch.device) -> bool:
    """Whether products in bf16 run in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    checks = (getattr(torch.cpu, n, None) for n in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return device.type == "cpu" and any(check() for check in checks if check is not None)
