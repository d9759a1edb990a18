"""Fit of the answer probability for the installed model (ADR 0060): `python -m bench.calibration`.

Asks the questions of the development set, fits, and prints the line for `domain/search/verdict.py`; then what the
fitted constants come to on that set, and on the older one (fixtures/search_cases.json), on which nothing is fitted.
"""

import argparse

from bench import development_set, older_set
from bench.answer_probability import fit, print_report
from bench.own_server import forget_settings, installed_model
from commontrace.cli.runtime.environment import configure_logging, explain_failures


def main() -> None:
    """Fits and prints; takes a minute and a half."""
    argparse.ArgumentParser(prog="python -m bench.calibration", description=__doc__).parse_args()
    forget_settings()
    configure_logging("error")
    with explain_failures():
        model = installed_model()
        older = older_set.questions(older_set.ask("local", rankings=("cosine",)))
        developed = development_set.questions_by_similarity(development_set.ask(("cosine",)))
    fitted = fit(developed)
    print("\nthe line for domain/search/verdict.py:")
    print(
        f'    ("{model.model_id}", "{model.model_version}"):'
        f" Calibration(intercept={fitted.intercept}, slope={fitted.slope}),"
    )
    print_report({"development set": developed, "older set": older}, fitted)


if __name__ == "__main__":
    main()
