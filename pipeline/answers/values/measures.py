"""Units of measure by what they measure, each in the measure's own unit."""

from fractions import Fraction

MEASURES: dict[str, dict[str, Fraction | int]] = {
    "time": {
        "s sec secs second seconds": 1,
        "min mins minute minutes": 60,
        "h hr hrs hour hours": 3600,
        "day days": 86400,
        "week weeks": 604800,
    },
    "calendar": {"month months": 1, "yr yrs year years": 12},
    "length": {
        "mm millimeter millimeters millimetre millimetres": Fraction(1, 1000),
        "cm centimeter centimeters centimetre centimetres": Fraction(1, 100),
        "m meter meters metre metres": 1,
        "km kilometer kilometers kilometre kilometres": 1000,
        "inch inches": Fraction(254, 10_000),
        "ft foot feet": Fraction(3048, 10_000),
        "yd yds yard yards": Fraction(9144, 10_000),
        "mile miles": Fraction(1_609_344, 1000),
    },
    "mass": {
        "mg milligram milligrams": Fraction(1, 1000),
        "g gram grams": 1,
        "kg kilogram kilograms kilo kilos": 1000,
        "oz ounce ounces": Fraction(28_349_523_125, 10**9),
        "lb lbs pound pounds": Fraction(45_359_237, 10**5),
    },
    "volume": {
        "ml milliliter milliliters millilitre millilitres": Fraction(1, 1000),
        "l liter liters litre litres": 1,
    },
    "gallons": {"cup cups": 1, "pint pints": 2, "quart quarts": 4, "gallon gallons": 16},
    "dollars": {"$ usd dollar dollars buck bucks": 1, "cent cents": Fraction(1, 100)},
    "euros": {"€ eur euro euros": 1},
    "sterling": {"£ gbp": 1},
    "yen": {"¥ jpy yen": 1},
    "rupees": {"₹ inr rs rupee rupees": 1},
    "yuan": {"cny rmb yuan": 1},
    "francs": {"chf franc francs": 1},
    "won": {"krw": 1},
    "pesos": {"mxn peso pesos": 1},
    "canadian": {"cad": 1},
    "australian": {"aud": 1},
    "celsius": {"celsius": 1},
    "fahrenheit": {"fahrenheit": 1},
    "kelvin": {"kelvin kelvins": 1},
    "angle": {"° degree degrees": 1},
    "arc": {"rad radian radians": 1},
}
KNOWN = {
    word: (measure, Fraction(factor))
    for measure, units in MEASURES.items()
    for words, factor in units.items()
    for word in words.split()
}
SPEEDS = {"mph": ("mile", "h"), "kph": ("km", "h"), "kmh": ("km", "h")}
"""Words for a length in a time."""
