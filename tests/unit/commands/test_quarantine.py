"""What `reasond quarantine` refuses before it connects."""

import pytest
from click.testing import CliRunner

from reasond.commands.quarantine import quarantine
from reasond.errors import InputError


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["requeue"], id="nothing named"),
        pytest.param(["drop", "--yes"], id="nothing to drop named"),
        pytest.param(["requeue", "some-id", "--all"], id="ids and all"),
        pytest.param(["requeue", "--all", "--cause", "ai"], id="all and a cause"),
    ],
)
def test_choice_that_is_none_or_two_is_refused(arguments: list) -> None:
    found = CliRunner().invoke(quarantine, arguments)
    assert isinstance(found.exception, InputError)
    assert "--all" in str(found.exception)
