"""Stages and ledgers, one verb a file: each runs a stage once, or writes to one ledger."""
