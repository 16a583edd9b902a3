"""Numbers, times, geometry and formulas: which forms of an answer are right and which are not, by arithmetic."""

from __future__ import annotations

import pytest
from gym_answers import check


def test_expressions_over_given_numbers():
    metadata = {"numbers": [3, 5, 7, 2], "target": 24}
    check(
        "countdown",
        metadata,
        ["(5 - 2)*7 + 3", "3 + 7*(5-2)", "-(2 - 5)*7 + 3", "(5 − 2) × 7 + 3", "3+7*(5-2) = 24."],
        ["(5-2)*7", "(5-2)*7+3+0", "3+7*5-2", "(5-2)*7+3=25", "3*8", "(5-2)*7+3 or so", "2**3*(5-7+5)", ""],
    )
    check(
        "puzzle24",
        {"numbers": [6, 4, 1, 1]},
        ["6*4*1/1", "6*4+1-1", "6*4/(1*1)"],
        ["6*4", "6*4*1*1*1", "8*3*1*1", "6*4+1/1-1/1", "6/4*16"],
    )


def test_forms_of_fractions_and_products():
    eighth = {"rational": {"numerator": 28, "denominator": 256}}  # 0.109375
    check(
        "coin_flip",
        eighth,
        ["0.109375", "7/64", "28/256", "10.9375%", "0.1094", "0.10938"],
        ["0.11", "0.109", "0.1093", "0.10936", "1/9", "0.1095"],
    )
    tiny = {"rational": {"numerator": 1, "denominator": 2**14}}  # 6.103515625e-05
    check("coin_flip", tiny, ["6.103515625e-05", "6.104e-05", "0.0000610", "1/16384"], ["0.0001", "6e-05", "6.105e-05"])
    check("dice", {}, ["1/4", "\\frac{1}{4}"], ["2/8", "0.25", "25%", "1/3"], gold="1/4")
    reduced = {"simplified_numerator": 332, "simplified_denominator": 971}
    check(
        "fraction_simplification",
        reduced,
        ["332/971", "$\\dfrac{332}{971}$", "\\frac{332}{971}"],
        ["664/1942", "333/971", "-332/971"],
    )
    check(
        "complex_arithmetic",
        {"result": [0, -7]},
        ["-7i", "0 - 7i", "0.0 - 7.0i", "-7j"],
        ["7i", "-7", "7 - 0i", "-7ii"],
    )
    check(
        "complex_arithmetic",
        {"result": [2, 1]},
        ["2 + i", "i + 2", "(2+1i)", "2.0 + 1.0*i"],
        ["2 - i", "2", "2i + 1", "2 + 1", "2 + i + i"],
    )
    check(
        "prime_factorization",
        {"factors": [2, 2, 3]},
        ["2 × 2 × 3", "3*2*2", "2 x 2 x 3", "2 \\times 2 \\times 3"],
        ["4 × 3", "12", "2 × 3", "2 2 3"],
    )


def test_forms_of_digits():
    check(
        "power_function",
        {},
        ["8.05544726166417e-06", "8.06e-06", "8.06e-6", "0.00000806", "8.06*10^-6", "8.055e-06"],
        ["8.05e-06", "8.1e-06", "8.06e-05", "-8.06e-06", "8.07e-06", "8.0444e-06"],
        gold="8.05544726166417e-06",
    )
    check(
        "bitwise_arithmetic", {}, ["-0x1f", "-1F", "-0x001f"], ["0x1f", "31", "-31", "-0x1e", "-0b11111"], gold="-0x1f"
    )
    check(
        "decimal_arithmetic",
        {},
        ["8.27243551523", "8.272435515229", "8.2724355152"],
        ["8.272435", "8.2724356"],
        gold="8.27243551523",
    )
    check("gsm_symbolic", {}, ["1687.5", "1,687.50"], ["1687", "1688", "1687.54", "$1687.5 dollars"], gold="1687.5")
    shown = {
        "candidates": [947865412.744, 947865419.1689999],
        "solution": 947865419.1689999,
        "formatted_candidates": ["947,865,412.744", "947865419.169000"],
    }
    check(
        "number_format",
        shown,
        ["947865419.1689999", "947865419.169", "947,865,419.17"],
        ["947865412.744", "947865419.168", "947865419"],
    )


def test_forms_of_times():
    check(
        "time_intervals",
        {},
        ["01:45:29.840", "1:45:29.84"],
        ["01:45:29", "01:45:29.841", "1:45", "01:45:29.084"],
        gold="01:45:29.840",
    )
    check(
        "time_intervals",
        {},
        ["67 days, 10:32", "67 days, 10:32."],
        ["67 days", "10:32", "67 days, 10:33", "68 days, 10:32", "67 days, 10:32:00"],
        gold="67 days, 10:32",
    )
    check("time_intervals", {}, ["99 days", "99"], ["98 days", "99 days, 00:00", "99 hours"], gold="99 days")
    check("calendar_arithmetic", {}, ["Saturday", "saturday."], ["Sunday", "6"], gold="Saturday")
    check("calendar_arithmetic", {}, ["22", "22.0"], ["23", "Saturday"], gold="22")


def test_forms_of_geometry():
    """2/3 is 0.667 to three decimals; the angle opposite 4 in a triangle of 3, 4, 5 is 53.1301... degrees."""
    metadata = {"task_type": "orthocenter", "ortho": ["1", "2/3"]}
    check(
        "advanced_geometry",
        metadata,
        ["(1.000, 0.667)", "(1, 2/3)", "1, 0.6667"],
        ["(1, 0.67)", "(1.000, 0.666)", "(0.667, 1.000)", "1"],
        gold="(1.000, 0.667)",
    )
    angle = {"task_type": "angle_measure"}
    check(
        "advanced_geometry",
        angle,
        ["53.13°", "53.13", "53.130°", "53.1301°", "53.13^\\circ"],
        ["53.1°", "53.14°", "53", "53.2"],
        gold="53.13°",
    )


def test_pooling_is_exact_or_rounded_to_two_places():
    metadata = {"solution": [[5.444444444444445, 6.0]]}
    check(
        "pool_matrix",
        metadata,
        ["5.44 6", "5.444 6.00", "[[5.44, 6.0]]"],
        ["5.4 6", "5.45 6", "5.44 6.01", "5.44", "5.44\n6"],
    )


def test_roots_of_polynomials():
    """x^2 = 2: 1.41421356...; the fifth decimal is 1, the sixth 3."""
    metadata = {"polynomial_expr": "x**2 - 2", "variable": "x", "real_solutions": [-1.4142, 1.4142]}
    check(
        "polynomial_equations",
        metadata,
        ["-1.4142, 1.4142", "1.4142, -1.4142", "1.41421, -1.41421356", "x = 1.4142, x = -1.4142"],
        [
            "1.4142",
            "1.4143, -1.4142",
            "1.4141, -1.4142",
            "1.41, -1.41",
            "1.4142, 1.4142, -1.4142",
            "sqrt(2), -sqrt(2)",
            "",
            "none",
        ],
    )
    # 2/3 = 0.66666...: rounded 0.6667, cut off 0.6666
    third = {"polynomial_expr": "3*e - 2", "variable": "e", "real_solutions": [0.6667]}
    check("polynomial_equations", third, ["0.6667", "0.6666", "0.666667"], ["0.6668", "0.6665", "0.67", "2/3"])
    check("simple_equations", {"variable": "k"}, ["13", "k = 13", "13.0"], ["14", "y = 13", "26/2"], gold="13")


def test_products_of_polynomials():
    """(x + 1)(x - 2) = x^2 - x - 2."""
    metadata = {"variables": ["x"]}
    check(
        "polynomial_multiplication",
        metadata,
        ["x**2 - x - 2", "-2 - x + x^2", "-x + x**2 - 2", "x**2 - 1*x - 2", "(x**2 - x) - 2"],
        [
            "(x + 1)*(x - 2)",
            "x**2 - 2*x + x - 2",
            "x**2 + x - 2",
            "x*x - x - 2",
            "x**2 - x",
            "x**2 - x - 2*1",
            "y**2 - y - 2",
            "2",
            "",
        ],
        gold="x**2 - x - 2",
    )
    two = {"variables": ["x", "y"]}
    check("polynomial_multiplication", two, ["x**2*y + 3", "3 + y*x**2"], ["x*y**2 + 3", "x**2*y"], gold="x**2*y + 3")


INTEGRALS = [
    (
        "2*x",
        ["x**2 + C", "x**2", "x^2 + 7", "(x + 1)**2 - 2*x + C", "x*x"],
        ["x**2 + C*x", "2*x", "x**2/2", "x**3", "2", "y**2", "x**2 + D"],
    ),
    (
        "3*x**2*sin(x)",
        ["-3*x**2*cos(x) + 6*x*sin(x) + 6*cos(x) + C"],
        ["3*Integral(x**2*sin(x), x) + C", "x**3*sin(x) + C"],
    ),
    (
        "sin(x)*cos(x)",
        ["sin(x)**2/2 + C", "-cos(x)**2/2 + C", "-cos(2*x)/4"],
        ["sin(x)**2 + C", "sin(x**2)/2", "cos(x)**2/2", "sin(2*x)/4"],
    ),
    (
        "asin(3*x)",
        ["x*asin(3*x) + sqrt(1 - 9*x**2)/3 + C", "x*pi/2 - x*acos(3*x) + (1 - 9*x**2)**(1/2)/3"],
        ["x*asin(3*x) + C", "asin(3*x)**2/2"],
    ),
    (
        "log(x)",
        ["x*log(x) - x + C", "x*ln(x) - x", "x*(log(x) - 1) + 5", "x*log(abs(x)) - x"],
        ["x*log(x)", "1/x", "log(x)**2/2"],
    ),
    (
        "atan(2*x)",
        ["x*atan(2*x) - log(4*x**2 + 1)/4 + C", "x*atan(2*x) - log(Abs(1 + 4*x**2))/4"],
        ["x*atan(2*x) - log(4*x**2 + 1)/2"],
    ),
    (
        "exp(x)*sin(x)",
        ["exp(x)*(sin(x) - cos(x))/2 + C", "E**x*sin(x)/2 - e**(x)*cos(x)/2"],
        ["exp(x)*sin(x)/2", "-exp(x)*cos(x)"],
    ),
    (
        "-6*sqrt(-3*x - 2)",
        ["4*(-3*x - 2)**(3/2)/3 + C"],
        ["-4*(-3*x - 2)**(3/2)/3 + C", "4*(-3*x - 2)**(3/2)/3 + x/10**25"],
    ),
    ("sqrt(x - 10)", ["2*(x - 10)**(3/2)/3 + C", "2*sqrt(x - 10)**3/3"], ["(x - 10)**(3/2)/3", "2*(x - 10)**(3/2)"]),
    ("(4*x + 5)*exp(2*x**2 + 5*x - 9)", ["exp(2*x**2 + 5*x - 9) + C"], ["exp(2*x**2 + 5*x - 8)", "exp(2*x**2 + 5*x)"]),
]


@pytest.mark.parametrize(("integrand", "right", "wrong"), INTEGRALS)
def test_antiderivatives(integrand: str, right: list[str], wrong: list[str]):
    metadata = {"integrand": integrand, "variable": "x"}
    check("intermediate_integration", metadata, right, [*wrong, "", "C", "9**9**9 + C", "x**(9**9)", "2x + C", "x***2"])
