"""Messages for invalid values, without Pydantic's wording: the same for settings and for options."""

from collections.abc import Mapping
from typing import Any

# By the type of Pydantic's error, whose context fills in the braces.
_MESSAGES = {
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


def value_error_message(problem: Mapping[str, Any]) -> str:
    """Returns the message for one of Pydantic's `ErrorDetails`, without the value, which may be a secret."""
    template = _MESSAGES.get(problem["type"])
    if template is None:
        return str(problem["msg"]).removeprefix("Value error, ")
    return template.format(**problem.get("ctx", {}))
