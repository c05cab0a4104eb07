"""The JSON Schema (draft 2020-12) of a policy file, made from the one table of parameters.

It says what single values may be, for editors and for whoever writes policies by program. It admits a little more than
`petrosa_cio.apps.nurse.policy.read_policy`, which has the last word: to JSON Schema 10.0 is an integer, and how values
must fit together, a minimum and its maximum for instance, it cannot say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from petrosa_cio.apps.nurse.defaults import PARAMETERS
from petrosa_cio.apps.nurse.models import Mode
from petrosa_cio.apps.nurse.parameters.parameter import Kind
from petrosa_cio.apps.nurse.reasons import ALWAYS_ON, Reason

if TYPE_CHECKING:
    from petrosa_cio.apps.nurse.models import Json
    from petrosa_cio.apps.nurse.parameters.parameter import Parameter

_SYMBOL = r"[^\s:a-z]{3,64}"

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TYPES = {
    Kind.INTEGER: "integer",
    Kind.FLOAT: "number",
    Kind.STRING: "string",
    Kind.BOOLEAN: "boolean",
    Kind.DICT: "object",
    Kind.LIST: "array",
}


def policy_schema() -> dict[str, Json]:
    """The schema of a policy file: scopes, modes and required facts."""
    scope: Json = {"$ref": "#/$defs/scope"}
    return {
        "$schema": DIALECT,
        "title": "petrosa-cio policy",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "scopes": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"global": scope},
                "patternProperties": {f"^symbol:{_SYMBOL}(:LONG|:SHORT)?$": scope, "^strategy:.+$": scope},
            },
            "modes": {
                "type": "object",
                "additionalProperties": False,
                "properties": {code.value: _mode(code) for code in Reason},
            },
            "required_facts": parameter_schema(PARAMETERS["required_facts"]),
        },
        "$defs": {
            "scope": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    **{name: parameter_schema(parameter) for name, parameter in PARAMETERS.items()},
                    **{f"mode.{code.value}": _mode(code) for code in Reason},
                },
            }
        },
    }


def parameter_schema(parameter: Parameter) -> dict[str, Json]:
    """The schema of one parameter's value, with its meaning as annotation."""
    kind = _TYPES[parameter.kind]
    found: dict[str, Json] = {
        "title": parameter.name,
        "description": f"{parameter.description} Unit: {parameter.unit}.",
        "type": [kind, "null"] if parameter.nullable else kind,
        "default": parameter.default,
        "examples": [parameter.example],
    }
    if parameter.minimum is not None:
        found["minimum"] = parameter.minimum
    if parameter.maximum is not None:
        found["maximum"] = parameter.maximum
    words: list[Json] = [*parameter.allowed]
    match parameter.kind:
        case Kind.LIST:
            found["items"] = {"type": "string", "enum": words} if words else {"type": "string"}
        case Kind.DICT:
            found["additionalProperties"] = {"type": "number", "minimum": 0}
        case _ if words:
            found["enum"] = [*words, None] if parameter.nullable else words
        case _:
            pass
    return found


def _mode(code: Reason) -> Json:
    modes: list[Json] = [mode.value for mode in Mode if code not in ALWAYS_ON or mode is Mode.ENFORCE]
    return {"enum": modes, "description": f"Mode of the control {code.value}"}
