"""AdapterFusion (Pfeiffer et al. 2021, arXiv 2005.00247) where nothing of it is to be trained.

With x what the bottlenecks read, a_i = relu(D_i x + d_i) and u_i = U_i a_i + c_i their outputs, the
fusion attends over them (the paper's section 3.2):

    p = softmax over i of (W_q x + b_q) . (W_k u_i + b_k)         out = V (sum of p_i u_i)

``adapters`` applies W_k and V to all n outputs of width H. But (W_q x + b_q) . W_k u_i =
(W_k' (W_q x + b_q)) . u_i, b_k adds the same to every score, and V commutes with the sum. All that is
left of them are products of constant matrices, made once:

    score_i = a_i . (M_i x + m_i) + (k_i . x + e_i)               out = sum of p_i (V U_i) a_i + p_i (V c_i)

three products between width H and the bottlenecks' widths together, none on n copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from adapters import SeqBnConfig
from adapters.methods.modeling import Adapter, BertFusion
from torch import Tensor, nn

# The paper's weight of the term that keeps V near the identity (section 4.3's l2 regularisation).
PENALTY = 0.01


class LeanFusion(nn.Module):
    """A trained fusion over trained bottlenecks in one layer, in the place of a single adapter of
    ``adapters``: same outputs, about a third of the products."""

    def __init__(self, adapters: Sequence[Adapter], fusion: BertFusion) -> None:
        super().__init__()
        down = [(a.adapter_down[0].weight, a.adapter_down[0].bias) for a in adapters]
        up = [(a.adapter_up.weight, a.adapter_up.bias) for a in adapters]
        with torch.no_grad():
            query, offset = fusion.query.weight.double(), fusion.query.bias.double()
            to_key, value = fusion.key.weight.double().T, fusion.value.weight.double()
            product, shift = to_key @ query, to_key @ offset
            inner = [w for w, _ in down] + [u.double().T @ product for u, _ in up]
            inner += [(c.double() @ product)[None] for _, c in up]
            inner_bias = [b for _, b in down] + [u.double().T @ shift for u, _ in up]
            inner_bias += [(c.double() @ shift)[None] for _, c in up]
            outer = [value @ u.double() for u, _ in up] + [(value @ c.double())[:, None] for _, c in up]
            self.inner = _linear(torch.cat(inner), torch.cat(inner_bias))
            self.outer = _linear(torch.cat(outer, dim=1), None)
            # (n, B): which of the B bottleneck units belong to which module.
            self.register_buffer("spread", torch.block_diag(*(torch.ones_like(b)[None] for _, b in down)))
        self.spread: Tensor

    def attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., H) -> p (..., n) and the bottlenecks' activations (..., B)"""
        modules, width = self.spread.shape
        z = self.inner(x)
        active = F.relu(z[..., :width])
        spread = self.spread.to(active.dtype)
        scores = (active * z[..., width : 2 * width]) @ spread.T + z[..., -modules:]
        return scores.softmax(dim=-1).to(active.dtype), active

    def forward(self, x: Tensor, residual_input: Tensor | None = None, output_gating: bool = False) -> Any:
        """(..., H) -> (..., H), what it adds; with a residual three values, as ``adapters`` has them."""
        p, active = self.attention(x)
        out = self.outer(torch.cat([active * (p @ self.spread.to(p.dtype)), p], dim=-1))
        return out if residual_input is None else (out + residual_input, active, out)

    def pre_forward(
        self, hidden_states: Tensor, input_tensor: Tensor, layer_norm: nn.Module, fusion_config: object = None
    ) -> tuple[Tensor, None, Tensor]:
        """What the bottlenecks read, and the residual: as the paper's adapters have it."""
        return layer_norm(hidden_states + input_tensor), None, hidden_states

    def post_forward(
        self,
        hidden_states: Tensor,
        input_hidden_states: Tensor,
        input_tensor: Tensor,
        layer_norm: nn.Module,
    ) -> Tensor:
        """The block's own residual and norm."""
        normed: Tensor = layer_norm(hidden_states + input_tensor)
        return normed


def averaged(adapters: Sequence[tuple[float, Adapter]]) -> Adapter:
    """One adapter whose output is the weighted sum of several adapters' outputs, widths added up.

    Exact: relu works on each unit alone. (``adapters`` 1.3's own Average divides by the number of
    adapters a second time.)
    """
    width = sum(a.down_sample for _, a in adapters)
    first = adapters[0][1]
    merged = Adapter("mean", input_size=first.input_size, down_sample=width, config=SeqBnConfig())
    with torch.no_grad():
        merged.adapter_down[0].weight.copy_(torch.cat([a.adapter_down[0].weight for _, a in adapters]))
        merged.adapter_down[0].bias.copy_(torch.cat([a.adapter_down[0].bias for _, a in adapters]))
        merged.adapter_up.weight.copy_(torch.cat([a.adapter_up.weight * w for w, a in adapters], dim=1))
        merged.adapter_up.bias.copy_(torch.stack([a.adapter_up.bias * w for w, a in adapters]).sum(dim=0))
    return merged.to(first.adapter_up.weight.device)


def probabilities(fusion: BertFusion, query: Tensor, key: Tensor) -> Tensor:
    """p (..., n) of the library's own layer, from its inputs (..., H) and (..., n, H)."""
    scores = torch.einsum("...h,...nh->...n", fusion.query(query), fusion.key(key))
    return scores.float().softmax(dim=-1)


def penalty(parameters: Mapping[str, Tensor]) -> Tensor | None:
    """What training adds to the loss for a fusion's value matrices V: 0.01 ||V - I||^2, summed.

    Args:
        parameters: what is trained, by stored name.

    Returns:
        None if no fusion is among it.
    """
    values = [p for name, p in parameters.items() if ".adapter_fusion_layer." in name and ".value." in name]
    if not values:
        return None
    terms = [(v - torch.eye(len(v), device=v.device)).square().sum() for v in values]
    return PENALTY * torch.stack(terms).sum()


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.float(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.float(), requires_grad=False)
    return linear
