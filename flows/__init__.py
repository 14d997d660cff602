"""The order of the verbs: rounds, campaigns, rollback, and the command line over them."""
