"""Judges beside people: how far their verdicts agree, and when a verdict may stand without a person."""
