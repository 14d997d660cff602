"""Instructions that a program can check: the 25 kinds of IFEval."""
