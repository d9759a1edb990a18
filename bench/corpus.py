"""Synthetic traces whose vectors lie around topics, as those of real texts do, and questions to ask of them."""

import math

import numpy as np
from numpy.typing import NDArray

TOPICS = 400
LATENT_DIMENSIONS = 64
SPREAD = 1.25
"""How far a topic reaches. With less, the nearest ten are so much nearer than all others that any index finds them."""
NOISE = 0.35
SHARES = {
    "common": 0.59,
    "frequent": 0.1,
    "uncommon": 0.05,
    "rare": 0.01,
    "scarce": 0.001,
    "single": 0.0,
    "nobody": 0.0,
}
"""How large the parts of a corpus are, of `single` one trace and of `nobody` none; other traces are in no part."""
TEXT_CHARACTERS = 1000
"""The length of every context and of every solution."""
TAGS = [f"tag-{number}" for number in range(60)]
TAGS_A_TRACE = 3

_SUBJECTS = ("worker", "session", "connection pool", "migration", "container", "cache", "test suite", "event loop")
_SYMPTOMS = ("stop answering", "leak memory", "raise a timeout", "lose its settings", "start twice", "become slow")
_WORDS = """
    after again answer argument async await before block body branch build cache call cancel change check class client
    close code column commit config connect container context copy create cursor data database deadlock default delete
    deploy docker driver empty engine error event exception exit expire fail field file filter find fix flag flush
    function handler header hook host import index insert install job join key last leak library line list load lock
    log loop memory message method migration missing model module network node null object open option order package
    page path permission pool port process project proxy query queue raise read record release request response restart
    result retry return rollback route row run schema scope script select server session setting signal socket start
    state statement status stop stream string table task test thread time timeout token trace transaction type update
    upgrade user value variable version wait worker write
""".split()  # noqa: SIM905 - a list literal would fill a hundred lines


def vectors(count: int, dimensions: int, *, seed: int) -> NDArray[np.float32]:
    """Returns unit vectors, shape (count, dimensions): topics in a latent space, plus noise."""
    topics = np.random.default_rng(0).standard_normal((TOPICS, LATENT_DIMENSIONS))
    basis = np.random.default_rng(1).standard_normal((LATENT_DIMENSIONS, dimensions)) / np.sqrt(LATENT_DIMENSIONS)
    generator = np.random.default_rng(seed)
    latent = topics[generator.integers(0, TOPICS, count)] + SPREAD * generator.standard_normal(
        (count, LATENT_DIMENSIONS)
    )
    wide = latent @ basis + NOISE * generator.standard_normal((count, dimensions))
    unit: NDArray[np.float32] = (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)
    return unit


def parts(count: int, *, seed: int) -> list[str]:
    """Returns the parts that so many traces belong to, each as large as its share, rounded up; or "" for none.

    Independent of the vectors, and of the parts by another seed.
    """
    names = [name for name, share in SHARES.items() for _ in range(math.ceil(share * count))] + ["single"]
    names += [""] * (count - len(names))
    return [names[position] for position in np.random.default_rng(seed).permutation(count)]


def texts(count: int) -> list[str]:
    """Returns texts of `TEXT_CHARACTERS` each."""
    generator = np.random.default_rng(5)
    # More words than fit, however short they are.
    return [" ".join(generator.choice(_WORDS, TEXT_CHARACTERS // 4))[:TEXT_CHARACTERS] for _ in range(count)]


def ten_words(number: int) -> str:
    """Returns a question of ten words; another for each number."""
    return f"why does request {number} to the payment service time out"


def question(number: int) -> str:
    """Returns a question of about twenty tokens; another for each number."""
    subject, symptom = _SUBJECTS[number % len(_SUBJECTS)], _SYMPTOMS[number % len(_SYMPTOMS)]
    return f"why does the {subject} of my service sometimes {symptom} after {number} requests in a row?"
