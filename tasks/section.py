"""Settings that check themselves: what a computation takes, and what a section of the configuration is."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from segscale.errors import ArgumentError
from segscale.tasks.refusal import refusals

S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A frozen record of settings. ValidationError, a ValueError, names each field that is out of its range."""

    # Strict: "0.5" is no number and true is no 1; only lists may become tuples, and integers floats.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        """The schema with what stands under each field as its description, which forms show."""
        # Read from the source where a schema is asked for, and by no command that only checks values.
        made = handler(schema)
        fields = handler.resolve_ref_schema(made).get("properties", {})
        for name, description in _said_of_fields(cls).items():
            if name in fields:
                fields[name].setdefault("description", description)
        return made

    def changed(self, **changes: Any) -> Self:
        """The same with other values of some fields. Raises ArgumentError, one line, for what is out of its range."""
        try:
            return type(self)(**{**dict(self), **changes})
        except ValidationError as error:
            raise ArgumentError("; ".join(refusals(error, type(self)))) from None

    def part(self, kind: type[S]) -> S:
        """The fields that a record has of another kind, as that kind: of a section its settings."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields})


def _said_of_fields(kind: type[BaseModel]) -> dict[str, str]:
    """The texts under the fields of a class and of those that it is made of, by name, each in one line."""
    said: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if not issubclass(one, BaseModel) or one is BaseModel:
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(definition, ast.ClassDef)
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    said[name] = " ".join(words.split())
    return said
