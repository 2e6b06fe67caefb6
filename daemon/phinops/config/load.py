"""From the file to a `Config`, or to every mistake in it with line, column and cure."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from phinops.config.fields import Place, did_you_mean
from phinops.config.model import Config
from phinops.config.places import Places
from phinops.errors import ConfigError
from phinops.problem import Problem

SEARCHED = (Path("phinops.toml"), Path("/etc/phinops/phinops.toml"))


def find_config(explicit: str | Path | None = None) -> Path | None:
    """The config to use: `explicit`, else `$PHINOPS_CONFIG`, else the first of `SEARCHED` that exists.

    The first two are taken at their word, so that reading a missing one says so.
    """
    named = explicit or os.environ.get("PHINOPS_CONFIG")
    if named:
        return Path(named)
    return next((path for path in SEARCHED if path.is_file()), None)


def load_config(path: str | Path) -> Config:
    """The config in the file. Reads no secret.

    Raises:
        ConfigError: the file cannot be read or used; `problems` has every mistake.
    """
    config, problems = check_config(path)
    if config is None:
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        raise ConfigError(f"{path}: {count}\n" + "\n".join(map(str, problems)), problems)
    return config


def check_config(path: str | Path) -> tuple[Config | None, list[Problem]]:
    """The config, or None and every mistake, in the file's order. Reads no secret."""
    file = Path(path)
    try:
        text = file.read_bytes().decode()
        document = tomllib.loads(text)
    except OSError as error:
        return None, [Problem(str(path), 1, 1, "file-unreadable", f"cannot be read: {error.strerror}")]
    except UnicodeDecodeError as error:
        return None, [Problem(str(path), 1, 1, "toml-syntax", f"is not UTF-8 text: byte {error.start}")]
    except tomllib.TOMLDecodeError as error:
        return None, [_syntax_problem(str(path), text, str(error))]
    try:
        return _validated(file, document), []
    except ValidationError as error:
        return None, sorted(_problems(str(path), Places(text), error))


def places_in(path: str | Path) -> Places:
    """Where in a config that could be read each key stands; in one that has gone since, nothing stands anywhere."""
    try:
        return Places(Path(path).read_bytes().decode())
    except OSError:
        return Places("")


def _validated(file: Path, document: dict[str, Any]) -> Config:
    folder = file.absolute().parent
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    context = {"file": file.absolute(), "base": folder, "state": Path(state) if state else None}
    for table in ("rules", "store"):
        document.setdefault(table, {})  # so that their paths are made absolute too
    return Config.model_validate(document, context=context)


def _syntax_problem(file: str, text: str, message: str) -> Problem:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if found and found[2]:
        return Problem(file, int(found[2]), int(found[3]), "toml-syntax", found[1])
    lines = text.split("\n")
    return Problem(file, len(lines), len(lines[-1]) + 1, "toml-syntax", message)


def _problems(file: str, places: Places, error: ValidationError) -> Iterator[Problem]:
    for details in error.errors(include_url=False):
        for place, code, message in _mistakes(details):
            at = places.key if code in ("unknown-key", "missing-key") else places.value
            line, column = at(place)
            yield Problem(file, line, column, code, message)


def _mistakes(details: ErrorDetails) -> Iterator[tuple[Place, str, str]]:
    place = tuple(part for part in details["loc"] if part != "[key]")
    context = details.get("ctx", {})
    match details["type"]:
        case "mistakes":
            for below, message in context["mistakes"]:
                yield (*place, *below), _code(message), _about((*place, *below), message)
        case "extra_forbidden":
            yield place, "unknown-key", _unknown(place)
        case "missing":
            yield place, "missing-key", f"`{place[-1]}` is missing in {_table(place[:-1])}"
        case "value_error":
            message = str(context["error"])
            yield place, _code(message), _about(place, message)
        case "literal_error":
            words = re.findall(r"'([^']*)'", str(context["expected"]))
            cure = did_you_mean(str(details["input"]), words)
            yield place, "bad-value", _about(place, f"must be one of {', '.join(words)}{cure}")
        case _:
            message = (
                details["msg"]
                .replace("Input should be a valid tuple", "must be a list")
                .replace("Input should", "should")
            )
            yield place, "bad-value", _about(place, message)


def _code(message: str) -> str:
    if "not in this version yet" in message:
        return "not-yet"
    return "secret-inline" if message.startswith("a secret is never") else "bad-value"


def _about(place: Place, message: str) -> str:
    name = next((part for part in reversed(place) if isinstance(part, str)), "")
    return f"`{name}`: {message}" if name else message


def _unknown(place: Place) -> str:
    key = str(place[-1])
    known = _keys_at(Config, place[:-1])
    listed = "" if did_you_mean(key, known) else f"; it knows {', '.join(known)}"
    return f"`{key}` is not a key of {_table(place[:-1])}{did_you_mean(key, known) or listed}"


def _table(place: Place) -> str:
    names = ".".join(part for part in place if isinstance(part, str))
    return f"[{names}]" if names else "the file"


def _keys_at(model: type[BaseModel], place: Place) -> tuple[str, ...]:
    """The keys of the table at `place`, found by following the models' annotations."""
    kind: Any = model
    for part in place:
        field = kind.model_fields.get(part) if isinstance(part, str) and _is_model(kind) else None
        kind = _model_in(field.annotation) if field is not None else kind
    return tuple(kind.model_fields) if _is_model(kind) else ()


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _model_in(annotation: Any) -> Any:
    """The table's model within `tuple[Model, ...]`, `dict[str, Model]` or `Model | None`."""
    if _is_model(annotation):
        return annotation
    return next((found for inner in get_args(annotation) if _is_model(found := _model_in(inner))), annotation)
