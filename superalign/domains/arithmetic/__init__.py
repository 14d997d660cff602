"""Arithmetic in written steps: the task everyone may see, and the truth only oversight and evaluation may."""
