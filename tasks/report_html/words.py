"""Numbers as they are read: scores with three decimals, a true minus sign, a dash for what is undefined."""

import math

UNDEFINED = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def score(value: float | None) -> str:
    """Three decimals; UNDEFINED for NaN and None."""
    if value is None or math.isnan(value):
        return UNDEFINED
    text = f"{abs(value):.3f}"
    return f"{_MINUS}{text}" if value < 0 and float(text) else text


def signed(value: float | None) -> str:
    """The same with a sign, unless it is 0 to three decimals."""
    text = score(value)
    return f"+{text}" if value is not None and value > 0 and float(text) else text


def small(value: float) -> str:
    """Two significant digits with a sign, for parts of a score that three decimals would not show."""
    if math.isnan(value):
        return UNDEFINED
    return f"{value:+#.2g}".replace("-", _MINUS) if value else "0"


def share(value: float) -> str:
    """A level as a percentage without needless digits: 0.95 is 95 %, 0.995 is 99.5 %."""
    return f"{100 * value:.4g} %"


def number(value: int) -> str:
    """An integer with its thousands apart."""
    return f"{value:,}"


def images(count: int) -> str:
    """A number of images."""
    return "1 image" if count == 1 else f"{number(count)} images"
