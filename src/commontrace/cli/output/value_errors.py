"""What is wrong with a value, in our words instead of Pydantic's. Settings and options are told alike."""

from typing import TYPE_CHECKING

# Imported when a value is wrong: `commontrace --help` does not owe the time.
if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

# By Pydantic's type of error; what is filled in is its context.
_WORDS = {
    "literal_error": "must be {expected}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_unicode": "must be UTF-8 text",
}


def words_of(problem: "ErrorDetails") -> str:
    """Returns what is wrong with a value, and never the value itself, which may be a secret."""
    words = _WORDS.get(problem["type"])
    return problem["msg"].removeprefix("Value error, ") if words is None else words.format(**problem.get("ctx", {}))
