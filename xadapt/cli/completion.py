"""``xadapt completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tyro


@dataclass(frozen=True)
class Completion:
    """Print what a shell needs to complete commands and options with the tab key. For bash:
    'xadapt completion bash > ~/.local/share/bash-completion/completions/xadapt'; for zsh, into a file _xadapt
    in a folder of $fpath; then open a new shell."""

    shell: tyro.conf.Positional[Literal["bash", "zsh", "fish"]]
    """which one"""
