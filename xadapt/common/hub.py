"""Whether the hub is there at all, asked once and briefly: its client's own retries take minutes."""

from __future__ import annotations

import threading
from contextlib import suppress

SECONDS = 8.0  # all in all: looking up a name has no limit of its own


def hub_answers() -> bool:
    """Whether the hub answers anything within ``SECONDS``. ``HF_ENDPOINT`` is honoured."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        with suppress(Exception):
            get_session().head(constants.ENDPOINT, timeout=SECONDS)
            answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return answered.is_set()


def silence() -> str | None:
    """What is to be said where the hub does not answer; None where it does."""
    from huggingface_hub import constants

    if hub_answers():
        return None
    if constants.HF_HUB_OFFLINE:
        return "the hub is not asked, HF_HUB_OFFLINE is set: what its cache does not hold cannot be had"
    return f"the hub at {constants.ENDPOINT} does not answer: what its cache does not hold cannot be had"
