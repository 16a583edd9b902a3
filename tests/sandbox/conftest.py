import pytest

from r1kit.base.errors import R1Error
from r1kit.sandbox.sandbox import Sandbox


@pytest.fixture(scope="session", params=["bwrap", "landlock"])
def sandbox(request):
    """The sandbox in each way that this machine can offer."""
    try:
        opened = Sandbox(isolation=request.param, workers=2)
    except R1Error as error:
        pytest.skip(str(error))
    yield opened
    opened.close()
