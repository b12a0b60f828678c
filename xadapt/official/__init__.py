"""XTREME's own files: predictions written in its submission layout, read back, scored and averaged as its
evaluate.py does (github.com/google-research/xtreme, evaluate.py at 838c13b)."""
