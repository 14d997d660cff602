"""Everything that can go wrong, as one tree.

    SuperalignError
    ├── ConfigError(ValueError)        a recipe or an override is wrong; exit code 2
    ├── DataError(ValueError)          a row or a file given by a person is wrong; exit code 2
    ├── ArtifactError(OSError)         a versioned file is missing or not what its md5 says
    ├── PolicyError(ValueError)        weights cannot be loaded, or are not what their hash says
    ├── EngineError(RuntimeError)      text could not be generated
    ├── TrainingError(ArithmeticError) a policy could not be trained
    │   └── DivergedError              training ran away: the round stops
    ├── GateError(RuntimeError)        a critical check failed; exit code 3
    ├── BusyError(RuntimeError)        another round runs in this workspace
    └── LedgerError(ConnectionError)   Prefect, MLflow or DVC cannot be reached or written

A message says what was wrong, what was found, and the way out.
"""


class SuperalignError(Exception):
    """Root of the tree; the command line prints its message and exits with ``exit_code``."""

    exit_code = 1


class ConfigError(SuperalignError, ValueError):
    """A recipe or an override is wrong."""

    exit_code = 2


class DataError(SuperalignError, ValueError):
    """A row or a file given by a person is wrong."""

    exit_code = 2


class ArtifactError(SuperalignError, OSError):
    """A versioned file is missing or is not what its md5 says."""


class PolicyError(SuperalignError, ValueError):
    """Weights cannot be loaded, or are not what their hash says."""


class EngineError(SuperalignError, RuntimeError):
    """Text could not be generated."""


class TrainingError(SuperalignError, ArithmeticError):
    """A policy could not be trained."""


class DivergedError(TrainingError):
    """Training ran away: the loss is not finite, or the policy went too far from where it started. Done again it does so again."""


class GateError(SuperalignError, RuntimeError):
    """A critical check failed, and the round stopped."""

    exit_code = 3


class BusyError(SuperalignError, RuntimeError):
    """Another round is running in this workspace."""


class LedgerError(SuperalignError, ConnectionError):
    """Prefect, MLflow or DVC cannot be reached or written."""
