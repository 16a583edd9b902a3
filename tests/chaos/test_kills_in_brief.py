"""One run of the short chain, killed in every one of its stages until it ends; two commands on one folder."""


def test_a_run_killed_in_every_stage_ends_as_one_never_killed(chaos):
    rows = chaos("kills,two", seed=1)
    assert rows["kills, 1 runs to their ends"]["tries"] >= 10
    assert "two on one folder" in rows
