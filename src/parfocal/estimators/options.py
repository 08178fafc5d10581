"""What a user may set of a method: its fields, given as text."""

from collections.abc import Iterable
from dataclasses import fields, replace

from parfocal.errors import InputError
from parfocal.estimators.draft import Method

TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def with_options(methods: dict[str, Method], options: Iterable[str]) -> dict[str, Method]:
    """The table of `methods` with options such as "bayes.stage_tilt=30" set. Raises InputError."""
    out = dict(methods)
    for option in options:
        place, equals, text = option.partition("=")
        name, _, setting = place.partition(".")
        if name not in out or not equals or not setting:
            known = ", ".join(out)
            mend = f"write METHOD.SETTING=VALUE, the methods being {known}"
            raise InputError(f"{option!r} sets nothing", mend=mend)
        out[name] = _with(out[name], setting, text)
    return out


def _with(method: Method, setting: str, text: str) -> Method:
    known = {f.name: getattr(method, f.name) for f in fields(method) if f.name != "name"}
    if setting not in known:
        raise InputError(
            f"{method.name} has no setting {setting!r}",
            mend=f"it has {', '.join(known) or 'none'}",
        )
    try:
        return replace(method, **{setting: _parsed(text, known[setting])})
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{text!r} cannot be {method.name}'s {setting}",
            mend=f"give a value like {known[setting]!r}",
        ) from None


def _parsed(text: str, current: object) -> object:
    """`text` as what the setting holds by default; one that holds None takes text."""
    if isinstance(current, bool):
        if text.lower() not in TRUTHS:
            raise ValueError(text)
        return TRUTHS[text.lower()]
    if isinstance(current, (int, float)):
        return type(current)(text)
    return text
