"""``python -m xadapt``"""

from xadapt.cli import main

main()
