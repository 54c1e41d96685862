"""Codes and categories: valid, nobody else's, and a tree."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facings.errors import DataError
from facings.runtime import gallery_calibration, photo_checks, product_codes
from facings.runtime.product_catalogue import CategoryTree, category_path, check_changed, paths_of_parents
from facings.runtime.product_codes import check_digit, checked_gtin, checked_plu


@pytest.mark.parametrize("module", [product_codes, photo_checks, gallery_calibration])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["96385074", "036000291452", "4006381333931", "6291041500213", "10614141000415"])
def test_codes_of_real_goods(code: str) -> None:
    assert checked_gtin(code) == code


@given(st.sampled_from([7, 11, 12, 13]), st.data())
def test_one_wrong_digit_is_always_found(length: int, data: st.DataObject) -> None:
    """Second formula: the ISBN-13 way, from the left with the weights of an even or odd length."""
    body = data.draw(st.text("0123456789", min_size=length, max_size=length).filter(lambda text: text.strip("0")))
    weights = [3 if (length - place) % 2 else 1 for place in range(length)]
    total = sum(w * int(d) for w, d in zip(weights, body, strict=True))
    assert check_digit(body) == (10 - total % 10) % 10
    code = f"{body}{check_digit(body)}"
    assert checked_gtin(code) == code
    place = data.draw(st.integers(0, length))
    wrong = code[:place] + str((int(code[place]) + data.draw(st.integers(1, 9))) % 10) + code[place + 1 :]
    with pytest.raises(DataError, match=r"would do|nothing but zeros"):
        checked_gtin(wrong)


@pytest.mark.parametrize(
    "code, message",
    [
        ("4006381333932", "the check digit is 2, 1 would do"),
        ("400638133393", "the check digit is 3"),
        ("123456789", "has 9 digits; a GTIN has 8, 12, 13 or 14"),
        ("4006381 333931", "expected digits alone"),
        ("٤٠٠٦٣٨١٣٣٣٩٣١", "expected digits alone"),
        ("00000000", "nothing but zeros"),
        ("", "expected digits alone"),
    ],
)
def test_wrong_gtin_says_what_would_do(code: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        checked_gtin(code)


def test_plu_by_the_rules() -> None:
    valid = {*range(3000, 5000), *range(83000, 85000), *range(93000, 95000)}
    for number in range(100_000):
        if number in valid:
            assert checked_plu(str(number)) == str(number)
        else:
            with pytest.raises(DataError, match="3000–4999"):
                checked_plu(str(number))
    for text in ("04011", "40l1", "4011 ", "-4011", ""):
        with pytest.raises(DataError, match="PLU"):
            checked_plu(text)


def test_codes_belong_to_one_product() -> None:
    before = {"a": {"gtin": "036000291452", "plu": "4011"}}
    with pytest.raises(DataError, match=r"'b': GTIN 0036000291452 belongs to 'a' already"):
        check_changed(before, before | {"b": {"gtin": "0036000291452"}}, {"b"})
    with pytest.raises(DataError, match="'c': PLU 4011 belongs to 'a'"):
        check_changed(before, before | {"c": {"plu": "4011"}}, {"c"})
    with pytest.raises(DataError, match="sold_by is 'litre'; expected piece or weight"):
        check_changed(before, before | {"c": {"sold_by": "litre"}}, {"c"})
    check_changed(before, before | {"a": {"plu": "4012"}, "b": {"plu": "4011"}}, {"a", "b"})
    check_changed({"a": {"plu": "1"}}, {"a": {"plu": "1"}, "b": {"plu": "3000"}}, {"b"})


def test_categories_form_a_tree() -> None:
    tree = CategoryTree([("Fruit", "Apple"), ("Fruit", "Other"), ("Vegetables", "Other"), ("Fruit",), ()])
    tree.add(("Fruit", "Apple", "Red"))
    for path, message in {
        ("Fruit", "Apple", "Fruit"): "'Fruit' occurs twice",
        ("Apple", "Fruit"): "a cycle: Fruit/Apple",
        ("Drinks", "Other", "Cola"): "'Other' has categories below it here, and in Fruit/Other it ends one",
        ("Sweets", "Fruit"): "'Fruit' ends the path here",
    }.items():
        with pytest.raises(DataError, match=message):
            tree.add(path)
    assert category_path(" Fruit / Apple ") == ("Fruit", "Apple") and category_path("") == ()
    with pytest.raises(DataError, match="an empty name"):
        category_path("Fruit//Apple")


def test_a_table_of_parents_is_a_tree() -> None:
    assert paths_of_parents({"Red": "Apple", "Apple": "Fruit", "Fruit": None})["Red"] == ("Fruit", "Apple", "Red")
    with pytest.raises(DataError, match="its parent 'Fruit' is not in the table"):
        paths_of_parents({"Apple": "Fruit"})
    with pytest.raises(DataError, match="a cycle, a → b → a"):
        paths_of_parents({"a": "b", "b": "a"})
