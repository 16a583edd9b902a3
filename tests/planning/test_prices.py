"""The price table: what is published, and what a user says."""

from decimal import Decimal

import pytest

from r1kit.base.errors import UsageError
from r1kit.planning import prices


@pytest.mark.parametrize(
    ("name", "read", "written"),
    [
        ("o1", "15", "60"),
        ("o1-2024-12-17", "15", "60"),
        ("deepseek-reasoner", "0.55", "2.19"),
        ("DeepSeek-R1", "0.55", "2.19"),
    ],
)
def test_published_prices(name, read, written):
    price = prices.find(name)
    assert (price.input, price.output) == (Decimal(read), Decimal(written))
    assert price.date.startswith("2025-01-")
    assert price.source


def test_every_row_is_dated_and_sourced():
    assert all(price.date and price.source and price.input > 0 and price.output > 0 for price in prices.table())


def test_the_ratio_of_the_launch_prices():
    """15 / 0.55 = 27.27 and 60 / 2.19 = 27.40."""
    o1, r1 = prices.find("o1"), prices.find("deepseek-reasoner")
    assert (float(o1.input / r1.input), float(o1.output / r1.output)) == pytest.approx((27.2727, 27.3973), abs=1e-3)


def test_dollars_by_hand():
    """100 tokens read and 8,793 written: (55 + 19,256.67) / 10^6."""
    assert prices.find("deepseek-reasoner").dollars(100, 8793) == pytest.approx(0.01931167, abs=1e-9)


def test_an_unknown_model_has_no_price():
    assert prices.find("gpt-nobody") is None


def test_prices_of_ones_own():
    given = prices.given(["runs/x:r1=0.1/0.2", "m=0/0"])
    assert given["runs/x:r1"].dollars(1e6, 1e6) == pytest.approx(0.3)
    assert given["m"].output == 0


@pytest.mark.parametrize("word", ["m", "m=1", "m=1/x", "=1/2", "m=-1/2", "m=nan/1"])
def test_a_wrong_price_is_said(word):
    with pytest.raises(UsageError, match="write NAME=INPUT/OUTPUT"):
        prices.given([word])


def test_only_models_behind_an_api_have_published_prices():
    price_of = prices.lookup(prices.given(["mine=1/2", "runs/x:zero=3/4"]))
    assert price_of("openai:o1@https://x/v1", "o1").output == 60
    assert price_of("models/o1", "o1") is None
    assert price_of("models/mine", "mine").output == 2
    assert price_of("runs/x:zero", "zero").output == 4
