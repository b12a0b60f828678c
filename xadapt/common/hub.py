"""Whether the hub is there at all, asked once and briefly: its client's own retries take minutes."""

from __future__ import annotations


def hub_answers() -> bool:
    """Whether the hub answers anything within ten seconds. ``HF_ENDPOINT`` is honoured."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception:
        return False
    return True
