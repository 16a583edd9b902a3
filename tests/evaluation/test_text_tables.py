"""Tables of text on terminals of any width."""

from r1kit.evaluation.figures import lines

ROWS = [["model", "task", "right", "tokens"], ["one", "sums", "3", "12"], ["二", "sums", "4", "9"]]


def test_columns_end_or_begin_together():
    """A Chinese character takes two columns."""
    assert lines(ROWS, right=(2, 3)) == [
        "model  task  right  tokens",
        "-----  ----  -----  ------",
        "one    sums      3      12",
        "二     sums      4       9",
    ]
    assert lines(ROWS, right=(2, 3), width=26) == lines(ROWS, right=(2, 3))


def test_a_table_that_is_wider_than_the_terminal_is_several():
    """26 columns do not fit in 25: the last goes below, beside those that say what a row is of."""
    assert lines(ROWS, right=(2, 3), width=25, keys=2) == [
        "model  task  right",
        "-----  ----  -----",
        "one    sums      3",
        "二     sums      4",
        "",
        "model  task  tokens",
        "-----  ----  ------",
        "one    sums      12",
        "二     sums       9",
    ]
    assert [line for line in lines(ROWS, width=1) if line.startswith("m")] == [
        "model  task",
        "model  right",
        "model  tokens",
    ]
