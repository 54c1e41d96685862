"""The numbers on goods: GTIN below a bar code, PLU on loose produce. Knows nothing of galleries.

Both are text: a leading zero counts.
"""

import re

from facings.errors import DataError

GTIN_LENGTHS = (8, 12, 13, 14)


def check_digit(body: str) -> int:
    """The last digit of a GTIN from those before it (GS1 General Specifications, 7.9.1): the digits weigh 3, 1, 3, … from
    the right, and the check digit completes the sum to a multiple of ten.

    >>> check_digit("629104150021")  # 6+2*3+9+1*3+0+4*3+1+5*3+0+0*3+2+1*3 = 57; 60 - 57
    3
    """
    total = sum(int(digit) * (3, 1)[place % 2] for place, digit in enumerate(reversed(body)))
    return -total % 10


def checked_gtin(text: str) -> str:
    """A GTIN-8, -12, -13 or -14 as it was given. Raises DataError for another length, other signs, or a wrong check digit."""
    if not re.fullmatch(r"[0-9]+", text):
        raise DataError(f"GTIN {text!r}: expected digits alone, as they stand below the bar code")
    if len(text) not in GTIN_LENGTHS:
        raise DataError(f"GTIN {text!r}: has {len(text)} digits; a GTIN has 8, 12, 13 or 14")
    if not text.strip("0"):
        raise DataError(f"GTIN {text!r}: nothing but zeros; leave it out for goods that have none")
    if (right := check_digit(text[:-1])) != int(text[-1]):
        raise DataError(f"GTIN {text!r}: the check digit is {text[-1]}, {right} would do; a digit was misread")
    return text


def gtin14(text: str) -> str:
    """The form in which GTINs of different lengths are compared: 14 digits, zeros in front."""
    return text.zfill(14)


def checked_plu(text: str) -> str:
    """A price look-up code of the IFPS (its PLU Users' Guide): 3000–4999, or five digits, a leading 9 (organic) or 8 before
    one of those. Raises DataError else.

    >>> checked_plu("94011")
    '94011'
    """
    if re.fullmatch(r"[89]?[34][0-9]{3}", text):
        return text
    if re.fullmatch(r"[0-9]{5}", text):
        raise DataError(
            f"PLU {text!r}: of five digits the first is 9 (organic) or 8, and the rest lies in 3000–4999, e.g. 94011"
        )
    raise DataError(f"PLU {text!r}: expected four digits, 3000–4999, or five that begin with 8 or 9, e.g. 4011")
