"""Studies: the stages and ledger writes that only a study has."""
