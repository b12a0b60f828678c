"""Where examples come from: the pocket world, an XTREME download folder, the hub."""
