"""The servers that scenarios are tried on: all of them ask for keys."""

from tests.faults.harness.figure import Trial
from tests.faults.server_process import ServerProcess
from tests.support.prepared_data import copy_served

# No model: what takes time in a call then is the call.
_SETTINGS = {"EMBEDDER": "lexical", "EMBEDDING_DIMENSIONS": "384", "LOG_LEVEL": "error", "AUTHENTICATION": "keys"}


def server(trial: Trial, protection: str = "", **settings: str) -> ServerProcess:
    """Returns a server in the trial's place, in an unprotected trial without the protection of this name, if any."""
    process = ServerProcess(trial.place, **_SETTINGS | settings)
    embedding = {name: (_SETTINGS | settings)[name] for name in ("EMBEDDER", "EMBEDDING_DIMENSIONS")}
    if embedding["EMBEDDER"] == _SETTINGS["EMBEDDER"] and not process.data_dir.exists():
        copy_served(trial.place, **embedding)
    process.cgroup = trial.cgroup
    if protection and not trial.protected:
        process.program = ("-m", "tests.faults.harness.unprotected", protection)
    return process


def null_server(trial: Trial) -> ServerProcess:
    """Returns a server that does nothing."""
    process = ServerProcess(trial.place)
    process.program = ("-m", "tests.faults.harness.null_server")
    return process
