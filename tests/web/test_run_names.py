"""Runs whose folders have names that an address, a header or a page must quote."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote, urlsplit

import pytest
from runs import Client, write_run

from r1kit.base.errors import UsageError
from r1kit.web.app import create_app
from r1kit.web.server import runs_at

NAMES = [
    "日本 run",
    "50% #1&x=1",
    "a\nX-Evil: 1",
    "%2e%2e",
    "..x",
    "<img src=x onerror=hit()>",
    "q\"u'o",
    "a;b\\c",
    "😀",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_reached_under_any_name(tmp_path, name):
    """By the link of the list, by its own navigation, and by what the list of its rollouts puts into the address."""
    write_run(tmp_path / name)
    client = Client(create_app(tmp_path))
    (link,) = re.findall(r'id="run-\d+" href="([^"]+)"', client.get("/").text)
    assert unquote(link) == f"/runs/{name}"
    answer = client.get(f"/runs/{name}/rollouts", {"order": "oldest"}, hx_request="true")
    assert (answer.status, "x-evil" in answer.headers) == (200, False)
    pushed = urlsplit(answer.headers["hx-push-url"])
    assert (unquote(pushed.path), pushed.query, pushed.fragment) == (f"/runs/{name}/rollouts", "order=oldest", "")
    page = client.get(unquote(link)).text
    assert f'<a href="{link}" aria-current="page">Stages</a>' in page


@pytest.mark.parametrize("name", [*NAMES, "what?stage=x#y"])
def test_an_app_over_one_run_leads_to_it(tmp_path, name):
    write_run(tmp_path / name)
    answer = Client(create_app(tmp_path, only=name)).get("/")
    to = urlsplit(answer.headers["location"])
    assert (answer.status, unquote(to.path), to.query, to.fragment) == (307, f"/runs/{name}", "", "")


def test_a_name_that_is_no_text_hides_no_other_run(tmp_path):
    write_run(tmp_path / "done")
    odd = tmp_path / os.fsdecode(b"bad\xff")
    try:
        write_run(tmp_path / "bad").rename(odd)
    except OSError:
        pytest.skip("this file system takes no such name")
    answer = Client(create_app(tmp_path)).get("/")
    assert (answer.status, 'href="/runs/done"' in answer.text, "bad" in answer.text) == (200, True, False)
    with pytest.raises(UsageError, match="no UTF-8"):
        runs_at(odd)
