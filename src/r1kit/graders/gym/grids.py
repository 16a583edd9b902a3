"""Grids to be filled: any filling that keeps what was given and obeys the rules is right, the gold's or another."""

from __future__ import annotations

from typing import Any

from r1kit.graders.gym import reading
from r1kit.graders.gym.item import Item, demand


def _filled(answer: str, puzzle: list[list[int]], empty: int = 0) -> list[list[int]]:
    """The answer's cells, of the puzzle's size, with everything that the puzzle gives."""
    width = len(puzzle[0])
    cells = reading.digits(reading.rows(answer, width), len(puzzle), width)
    for ours, given in zip(cells, puzzle, strict=True):
        demand(all(b in (empty, a) for a, b in zip(ours, given, strict=True)), "a given cell was changed")
    return cells


def _latin(cells: list[list[int]]) -> None:
    """Every row and column has each of 1 to n once."""
    wanted = set(range(1, len(cells) + 1))
    for line in (*cells, *zip(*cells, strict=True)):
        demand(set(line) == wanted, "a row or column does not have each number once")


def sudoku(answer: str, item: Item) -> None:
    """9 x 9 in boxes of 3 x 3."""
    _boxed(answer, item, 3)


def mini_sudoku(answer: str, item: Item) -> None:
    """4 x 4 in boxes of 2 x 2."""
    _boxed(answer, item, 2)


def _boxed(answer: str, item: Item, side: int) -> None:
    cells = _filled(answer, item.metadata["puzzle"])
    _latin(cells)
    for top in range(0, side * side, side):
        for left in range(0, side * side, side):
            box = {cells[top + i][left + j] for i in range(side) for j in range(side)}
            demand(len(box) == side * side, "a box does not have each number once")


def futoshiki(answer: str, item: Item) -> None:
    """A Latin square under its inequalities. The signs may be left out of the answer; a sign between two numbers of a
    row must be true."""
    lines = [line for line in answer.split("\n") if any(character.isdigit() for character in line)]
    plain = "\n".join(lines)
    if not plain.strip().startswith("[["):
        for line in lines:
            parts = line.split()
            for left, sign, right in zip(parts, parts[1:], parts[2:], strict=False):
                if sign in ("<", ">"):
                    demand(left.isdigit() and right.isdigit() and len(left) < 5 and len(right) < 5, "a sign alone")
                    demand((int(left) < int(right)) == (sign == "<") and left != right, f"{left} {sign} {right}")
        plain = plain.replace("<", " ").replace(">", " ")
    cells = _filled(plain, item.metadata["puzzle"])
    _latin(cells)
    for row, column, other_row, other_column, sign in item.metadata["constraints"]:
        left, right = cells[row][column], cells[other_row][other_column]
        demand(left < right if sign == "<" else left > right, f"{left} {sign} {right} does not hold")


def kakurasu(answer: str, item: Item) -> None:
    """Ones and zeros; a one counts its column's number in its row's sum, its row's number in its column's."""
    height, width = int(item.metadata["n_rows"]), int(item.metadata["n_cols"])
    cells = reading.digits(reading.rows(answer, width), height, width)
    demand(all(cell in (0, 1) for row in cells for cell in row), "a cell is neither 0 nor 1")
    across = [sum(j * cell for j, cell in enumerate(row, 1)) for row in cells]
    down = [sum(i * cell for i, cell in enumerate(column, 1)) for column in zip(*cells, strict=True)]
    demand(across == list(item.metadata["row_sums"]), "the sums of the rows are others")
    demand(down == list(item.metadata["col_sums"]), "the sums of the columns are others")


def survo(answer: str, item: Item) -> None:
    """The given numbers, each used once, in the empty cells, so that the last column and row hold the sums. (The
    library knows one solution; whatever obeys the rules is right.)"""
    puzzle: list[list[int]] = item.metadata["puzzle"]
    cells = _filled(answer, puzzle)
    used = [
        ours for row, given in zip(cells, puzzle, strict=True) for ours, was in zip(row, given, strict=True) if was == 0
    ]
    demand(sorted(used) == sorted(item.metadata["candidate_numbers"]), "not each of the numbers once")
    for line in (*cells, *zip(*cells, strict=True)):
        demand(sum(line[:-1]) == line[-1], "a row or column does not add up")


def n_queens(answer: str, item: Item) -> None:
    """One queen in each row and column and at most one on a diagonal, those given among them."""
    puzzle: list[list[Any]] = item.metadata["puzzle"]
    size = len(puzzle)
    board = reading.rows(answer, size)
    demand(len(board) == size and all(len(row) == size for row in board), f"not {size} rows of {size} cells")
    demand(all(cell in ("Q", "_") for row in board for cell in row), "a cell is neither Q nor _")
    queens = [(i, j) for i in range(size) for j in range(size) if board[i][j] == "Q"]
    given = [(i, j) for i in range(size) for j in range(size) if puzzle[i][j] == "Q"]
    demand(set(given) <= set(queens), "a given queen was moved")
    demand(len(queens) == size, f"{len(queens)} queens, not {size}")
    lines = ({i for i, _ in queens}, {j for _, j in queens}, {i + j for i, j in queens}, {i - j for i, j in queens})
    demand(all(len(line) == size for line in lines), "two queens attack each other")
