"""Parameters of a benchmark run."""

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LIMIT = 10
"""Hits a search."""
FEW_CALLERS = (1, 16)
"""Callers of searches under filters and of the local model's corpus, see `Parameters.callers`."""
MANY_WRITERS = 16
"""Independent coroutines that write, where writes are compared with raw ones."""
WRITERS = 4
"""Independent coroutines that write, and as many that search meanwhile."""
CONNECTIONS = 10
"""What the raw driver opens, and the `DATABASE_POOL_SIZE` of the server."""


SECTIONS = ("corpora", "watching", "growth", "words", "tag_names", "bulk")
"""The parts of a run, each with databases of its own."""


# Fewer than the streams that a server takes from one connection.
MOST_CALLERS = 64


class BadParameters(Exception):
    """The environment asks for what cannot be measured; the message names the variables."""


class Parameters(BaseSettings):
    """Parameters, each set by an environment variable with the prefix `BENCH_`."""

    model_config = SettingsConfigDict(env_prefix="BENCH_", frozen=True)

    traces: int = Field(default=20_000, ge=100, le=1_000_000)
    """Traces in each corpus."""
    large: int = Field(default=100_000, ge=100, le=1_000_000)
    """Traces in the database that grows."""
    dimensions: int = Field(default=1536, ge=64, le=2000)
    """Of the corpus that stands for hosted models; the local model has its own."""
    seconds: float = Field(default=2.5, gt=0, le=600, allow_inf_nan=False)
    """How long one round of one search lasts, without its warm-up."""
    rounds: int = Field(default=3, ge=1, le=100)
    """How often each search has its turn."""
    queries: int = Field(default=256, ge=1, le=10_000)
    """Different query vectors."""
    texts: int = Field(default=64, ge=1, le=1_000)
    """Different texts that are asked again and again."""
    imports: int = Field(default=1_000, ge=4, le=100_000)
    """Traces that are imported, and copied, in one round."""
    callers: str = "1,4,16,64"
    """Independent coroutines, each asking its next question when the last one is answered; separated by commas."""
    only: str = ",".join(SECTIONS)
    """What is measured, separated by commas."""
    results: Path = Path(__file__).parent / "results.json"
    """The file that gets every number."""

    @field_validator("results")
    @classmethod
    def _can_be_written(cls, results: Path) -> Path:
        # Now, not when everything has been measured.
        if results.is_dir() or not os.access(results.parent, os.W_OK):
            raise ValueError(f"{results} cannot be written")
        return results

    @field_validator("only")
    @classmethod
    def _are_sections(cls, only: str) -> str:
        if unknown := set(only.split(",")) - set(SECTIONS):
            raise ValueError(f"{sorted(unknown)} are none of {', '.join(SECTIONS)}")
        return only

    @field_validator("callers")
    @classmethod
    def _are_numbers(cls, callers: str) -> str:
        if not all(number.isdecimal() and 1 <= int(number) <= MOST_CALLERS for number in callers.split(",")):
            raise ValueError(f"{callers} are no numbers from 1 to {MOST_CALLERS}")
        return callers

    @property
    def numbers_of_callers(self) -> Sequence[int]:
        """How many ask at once, in turn."""
        return sorted({*map(int, self.callers.split(","))})

    @property
    def sections(self) -> frozenset[str]:
        """What is measured."""
        return frozenset(self.only.split(","))

    @property
    def warm_up_seconds(self) -> float:
        """How long every round runs before it is measured."""
        return min(0.5, self.seconds / 4)


def read_parameters() -> Parameters:
    """Returns the parameters of the environment. Raises BadParameters."""
    try:
        return Parameters()
    except ValidationError as error:
        problems = (f"BENCH_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in error.errors())
        raise BadParameters("; ".join(problems).replace("Value error, ", "")) from None
