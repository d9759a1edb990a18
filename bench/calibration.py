"""Fit of the answer probability for the installed model (ADR 0060): `python -m bench.calibration`.

Asks the questions of the development set, fits, and prints the line for `domain/search/verdict.py`; then what the
fitted constants come to on that set, and on the older one (fixtures/search_cases.json), on which nothing is fitted.
"""

import argparse

from bench import quality
from bench.answer_probability import fit, print_report
from commontrace.cli.runtime.environment import configure_logging, explain_failures


def main() -> None:
    """Fits and prints; takes a minute and a half."""
    argparse.ArgumentParser(prog="python -m bench.calibration", description=__doc__).parse_args()
    quality.forget_settings()
    configure_logging("error")
    with explain_failures():
        model = quality.installed_model()
        older = quality.older_questions(quality.ask_older("local", rankings=("cosine",)))
        found, _ = quality.ask_development_set(rankings=("cosine",))
        developed = quality.developed_questions(found)
    fitted = fit(developed)
    print("\nthe line for domain/search/verdict.py:")
    print(
        f'    ("{model.model_id}", "{model.model_version}"):'
        f" Calibration(intercept={fitted.intercept}, slope={fitted.slope}),"
    )
    print_report({"development set": developed, "older set": older}, fitted)


if __name__ == "__main__":
    main()
