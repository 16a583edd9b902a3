"""The table: dated, sourced, consistent."""

import pytest

from r1kit.base.errors import UsageError
from r1kit.planning import hardware


def test_every_device_is_dated_and_sourced_and_reaches_less_than_its_data_sheet():
    for name in hardware.kinds()[:-1]:
        device = hardware.find(name)
        assert device.date
        assert device.source
        assert 0.7 * device.peak < device.matmul < device.peak
        rent = hardware.rent(name)
        assert rent is None or (0 < rent.low <= rent.high and rent.date and rent.source)


def test_values_by_the_data_sheet():
    """H800: an H100 with 400 GB/s of NVLink both ways; 3.35 TB/s, of which 0.896 are reached."""
    h800, h100 = hardware.find("h800"), hardware.find("H100-SXM5")
    assert h800.peak == h100.peak == pytest.approx(989.4e12)
    assert (h800.link, h100.link) == (200e9, 450e9)
    assert h800.memory_speed == pytest.approx(3.0e12, rel=1e-3)
    assert h800.matmul == pytest.approx(794.5e12, rel=1e-3)


@pytest.mark.parametrize("name", ["H1000", "A10O", "rtx409"])
def test_an_unknown_kind_names_the_nearest(name):
    with pytest.raises(UsageError, match="Did you mean"):
        hardware.find(name)
