"""The entry point. It imports next to nothing, so that Ctrl-C ends a run in one line from its start."""

import os
import signal
import sys


def _stop(*_: object) -> None:
    """End at once: while the program is being loaded there is nothing to put in order. An exception would
    pass through half-loaded modules, which may catch it or turn it into another."""
    os.write(2, b"xadapt: stopped\n")
    os._exit(130)


def main() -> None:
    """Load the command line and run it."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else whoever started us has it ignored
        signal.signal(signal.SIGINT, _stop)
    from xadapt.cli import main as cli

    signal.signal(signal.SIGINT, usual)
    sys.path.append("")  # the working folder, where a user's own readers, kinds, methods and merges lie
    try:
        cli.main()
    finally:  # a second Ctrl-C while Python winds up
        if usual is signal.default_int_handler:
            signal.signal(signal.SIGINT, _stop)


if __name__ == "__main__":
    main()
