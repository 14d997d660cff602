"""Studies: grids of small loops that measure the paper's open questions."""
