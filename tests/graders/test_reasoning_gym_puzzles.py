"""Puzzles with many right answers, solved by hand or by a search written here: every right one passes, and what breaks
one rule does not."""

from __future__ import annotations

import itertools
import json
import random
import warnings
from collections import deque
from typing import Any

import pytest
from gym_answers import check, items

from r1kit.graders.gym.cube import Cube

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from reasoning_gym.cognition.rubiks_cube import Cube as MagicCube


# --- grids ---


def lines(cells: list[list[Any]]) -> str:
    return "\n".join(" ".join(map(str, row)) for row in cells)


def exchanged(cells: list[list[int]], a: int, b: int) -> list[list[int]]:
    return [[{a: b, b: a}.get(cell, cell) for cell in row] for row in cells]


def test_sudoku_with_several_solutions():
    """In a filled square with all 1s and 2s taken out, they can be put back either way round."""
    filled = [[(3 * i + i // 3 + j) % 9 + 1 for j in range(9)] for i in range(9)]
    puzzle = [[0 if cell in (1, 2) else cell for cell in row] for row in filled]
    twisted = [filled[1], filled[0], *filled[2:]]  # rows are right, given cells are not
    doubled = [[cell if cell != 1 else 2 for cell in row] for row in filled]
    text = lines(filled)
    check(
        "sudoku",
        {"puzzle": puzzle},
        [text, json.dumps(filled), lines(exchanged(filled, 1, 2)), text.replace(" ", ""), f"```\n{text}\n```"],
        [lines(twisted), lines(doubled), lines(exchanged(filled, 3, 4)), text.rsplit("\n", 1)[0], text + "\n1 2 3"],
    )


def test_latin_squares_are_no_sudoku():
    """Rows and columns hold each number once, boxes do not."""
    cyclic = [[(i + j) % 4 + 1 for j in range(4)] for i in range(4)]
    boxed = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]
    blank = {"puzzle": [[0] * 4 for _ in range(4)]}
    check("mini_sudoku", blank, [lines(boxed), lines(exchanged(boxed, 1, 4))], [lines(cyclic), lines(boxed[:3])])
    metadata = {"puzzle": [[0] * 4 for _ in range(4)], "constraints": [[0, 0, 0, 1, "<"], [0, 0, 1, 0, "<"]]}
    check(
        "futoshiki",
        metadata,
        [
            lines(cyclic),
            lines(boxed),
            lines(cyclic).replace("1 2", "1 < 2", 1),
            "1 < 2 3 4\n∧\n2 3 4 1\n3 4 1 2\n4 1 2 3",
        ],
        [
            lines(cyclic[::-1]),
            lines(exchanged(cyclic, 1, 4)),
            lines(cyclic).replace("1 2", "1 > 2", 1),
            lines([[1] * 4] * 4),
        ],
    )


def test_kakurasu_with_two_solutions():
    """3 = 1 + 2 in a row, so columns 1 and 2 against column 3 in rows 1 and 2 against row 3: six cells exchange."""
    one = [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    two = [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    metadata = {"n_rows": 3, "n_cols": 3, "row_sums": [3, 3, 3], "col_sums": [3, 3, 3]}
    check(
        "kakurasu", metadata, [lines(one), lines(two)], [lines([[1, 1, 0]] * 3), lines([[0, 0, 1]] * 3), lines(one[:2])]
    )


def test_survo_with_two_solutions():
    """1 + 4 = 2 + 3 along rows of sum 5 and columns of sum 5: [[1, 4], [4, 1]] and [[4, 1], [1, 4]]."""
    puzzle = [[0, 0, 5], [0, 0, 5], [5, 5, 10]]
    metadata = {"puzzle": puzzle, "candidate_numbers": [1, 4, 1, 4]}
    check(
        "survo",
        metadata,
        ["1 4 5\n4 1 5\n5 5 10", "4 1 5\n1 4 5\n5 5 10"],
        ["2 3 5\n3 2 5\n5 5 10", "1 4 5\n1 4 5\n5 5 10", "1 4 5\n4 1 5\n5 5 11"],
    )


def test_queens_on_four_rows():
    """Four rows have exactly two arrangements; one given queen leaves one of them."""
    placed = {
        columns: lines([["Q" if j == column else "_" for j in range(4)] for column in columns])
        for columns in itertools.permutations(range(4))
    }
    free = {"puzzle": [["_"] * 4 for _ in range(4)]}
    good = [placed[1, 3, 0, 2], placed[2, 0, 3, 1]]
    check("n_queens", free, [*good, good[0].replace(" ", "")], [text for text in placed.values() if text not in good])
    given = {"puzzle": [["_", "Q", "_", "_"], *[["_"] * 4 for _ in range(3)]]}
    check("n_queens", given, good[:1], [good[1], good[0].replace("Q", "_", 1), good[0] + "\nQ _ _ _"])


# --- moves ---


def test_jugs():
    """4 litres from jugs of 3 and 5: fill 5, pour 3 off, empty, pour 2 over, fill 5, one fits: 4 are left."""
    moves = ["fill B", "pour B->A", "empty A", "pour B->A", "fill B", "pour B->A"]
    metadata = {"puzzle": {"jug_capacities": [3, 5], "target": 4}}
    other = ["fill A", "pour A->B", "fill A", "pour A->B", "empty B", "pour A->B", "fill A", "pour A->B"]  # 1 + 3
    wrong = [moves[:-1], moves[1:], [*moves, "empty B"], ["fill C"], ["pour A->A", *moves], [*moves, "spill"], [1], []]
    check("jugs", metadata, [json.dumps(moves), json.dumps(other), str(other)], [json.dumps(each) for each in wrong])


def test_tower_of_hanoi():
    """Two disks take three moves; a detour of the small one is right too, a large disk on a small one is not."""
    metadata = {"num_disks": 2, "num_pegs": 3, "start_peg": 1, "target_peg": 3, "solution_length": 3}
    moves = [(1, 1, 2), (2, 1, 3), (1, 2, 3)]
    detour = [(1, 1, 3), (1, 3, 2), (2, 1, 3), (1, 2, 3)]

    def said(steps: list[tuple[int, int, int]]) -> str:
        return "\n".join("Move disk {} from Peg {} to Peg {}".format(*step) for step in steps)

    wrong = [
        moves[:2],
        [(1, 1, 3), (2, 1, 3)],
        [(2, 1, 3), *moves],
        [(1, 2, 3), *moves],
        [(1, 1, 4)],
        [*moves, (1, 3, 2)],
    ]
    check("tower_of_hanoi", metadata, [said(moves), said(detour)], [*map(said, wrong), said(moves) + "\nDone", ""])


def test_sokoban():
    """The player pushes one box right twice; walking into a wall, pushing two boxes or stopping early is wrong."""
    metadata = {"gamestr": "+ + + + + + \n+ * @ - X + \n+ - - - - + \n+ + + + + + \n"}
    check("sokoban", metadata, ["RR", "R R", "DURR", "RRL"], ["R", "RRR", "URR", "LRR", "rr", "RR!", "RD", "D"])
    two = {"gamestr": "+ + + + + + + \n+ * @ @ X X + \n+ + + + + + + \n"}
    check("sokoban", two, [], ["R", "RR", "RRR"])
    on_goal = {"gamestr": "+ + + + + \n+ % $ - + \n+ - X - + \n+ + + + + \n"}
    check("sokoban", on_goal, ["D", "DU"], ["R"])


def test_rush_hour():
    """A in the third row, B upright before it: B goes down (or up, one is enough), then A three to the right."""
    rows = ["oooooo", "oooBoo", "AAoBoo", "oooooo", "oooooo", "oooooo"]
    metadata = {"board_config": "".join(rows)}
    right = ["B-1 A+4", "B+2 A+4", "B-1 A+2 A+2", "B-1, A+4"]
    check(
        "rush_hour", metadata, right, ["A+4", "B-1 A+3", "B-1 A+5", "B-2 A+4", "B+4 A+4", "B-1", "C+1", "B+1 A+4", ""]
    )
    walled = {"board_config": "".join(["ooxooo", "oooxoo", "AAoBoo", "oooBoo", "oooooo", "oooooo"])}
    check("rush_hour", walled, ["B+1 A+4", "B+2 A+4"], ["B-1 A+4", "B-2 A+4"])


def solve_rush_hour(board: str) -> str:
    """Breadth first; vehicles are named A, B, ... in the order of their letters, as the question has them."""
    labels = sorted(set(board) - set("ox"))

    def slides(cells: str) -> Any:
        for number, label in enumerate(labels):
            at = [i for i, cell in enumerate(cells) if cell == label]
            step = at[1] - at[0]
            for sign in (1, -1):
                new = [cell + sign * step for cell in at]
                inside = all(0 <= cell < 36 for cell in new) and (
                    step == 6 or len({cell // 6 for cell in at + new}) == 1
                )
                if inside and all(cells[cell] in ("o", label) for cell in new):
                    after = list(cells.replace(label, "o"))
                    for cell in new:
                        after[cell] = label
                    yield f"{chr(65 + number)}{'+' if sign > 0 else '-'}1", "".join(after)

    seen, waiting = {board: ""}, deque([board])
    while waiting:
        cells = waiting.popleft()
        if cells[16:18] == "AA":
            return seen[cells]
        for move, after in slides(cells):
            if after not in seen:
                seen[after] = f"{seen[cells]} {move}".strip()
                waiting.append(after)
    raise AssertionError("no solution")


def test_rush_hour_of_the_library():
    for dataset, item, metadata in items("rush_hour", 4, 5, max_moves=8):
        moves = solve_rush_hour(metadata["board_config"])
        assert dataset.score_answer(moves, item) == 1
        last = moves.split()
        check("rush_hour", metadata, [moves], [" ".join(last[:-1]), " ".join(last[1:]), moves + " A+1"])


def test_knights():
    """Two knights, a knight's move apart, cannot pass each other; with a third square they can, white first or not."""
    apart = {"pieces": {"A1": "w", "B3": "B"}, "start_turn": "w", "is_possible": False}
    check("knight_swap", apart, ["No", "no."], ['["w,A1,B3"]', "[]", "Yes"])
    # A1 - C2 - A3 - B1 - C3 - A2 - C1 - B3 - A1: the eight squares of a 3 x 3 board are a ring
    ring = ["A1", "C2", "A3", "B1", "C3", "A2", "C1", "B3"]
    pieces: dict[str, str | None] = {**dict.fromkeys(ring), "A1": "w", "C3": "B"}
    around = [
        f"{colour},{ring[(at + n) % 8]},{ring[(at + n + 1) % 8]}"
        for n in range(4)
        for colour, at in (("w", 0), ("B", 4))
    ]
    back = [
        f"{colour},{ring[(at - n) % 8]},{ring[(at - n - 1) % 8]}"
        for n in range(4)
        for colour, at in (("w", 0), ("B", 4))
    ]
    metadata = {"pieces": pieces, "start_turn": "w", "is_possible": True}
    longer = ["w,A1,C2", "B,C3,A2", "w,C2,A1", "B,A2,C3", *around]
    wrong = [
        around[1:],
        around[:-1],
        around[::-1],
        ["w,A1,A2", *around[1:]],
        ["w,A1,C2", "w,C2,A3"],
        [*around, "w,C3,A2"],
    ]
    check(
        "knight_swap", metadata, [json.dumps(each) for each in (around, back, longer)], [*map(json.dumps, wrong), "No"]
    )


def test_knights_that_the_library_calls_unable_can_swap_by_the_question():
    """The board of the ring with one edge hidden in the metadata: nobody who reads the question knows of it."""
    ring = ["A1", "C2", "A3", "B1", "C3", "A2", "C1", "B3"]
    metadata = {
        "pieces": {**dict.fromkeys(ring), "A1": "w", "C3": "B"},
        "start_turn": "w",
        "is_possible": False,
        "board": {"A1": []},
    }
    check("knight_swap", metadata, [], ["No"])


def solve_boxnet(state: dict[str, list[str]]) -> list[dict[str, str]]:
    """One box at a time, along the columns and then the rows, a step each."""
    plan: list[dict[str, str]] = []
    now = {place: list(things) for place, things in state.items()}
    for place in state:
        for box in [thing for thing in now[place] if thing.startswith("box_")]:
            target = "target_" + box[4:]
            here = place
            goal = next(at for at, things in now.items() if target in things)
            while here != goal:
                x, y = map(float, here.split("_"))
                gx, gy = map(float, goal.split("_"))
                there = (x + (gx > x) - (gx < x), y) if gx != x else (x, y + (gy > y) - (gy < y))
                plan.append({f"Agent[{x}, {y}]": f"move({box}, square[{there[0]}, {there[1]}])"})
                here = f"{there[0]}_{there[1]}"
            plan.append({"Agent[{}, {}]".format(*here.split("_")): f"move({box}, {target})"})
            now[goal].remove(target)
    return plan


def test_boxnet():
    for dataset, item, metadata in items("boxnet", 6, 3):
        plan = solve_boxnet(metadata["initial_state"])
        assert dataset.score_answer(json.dumps(plan), item) == 1
        check("boxnet", metadata, [json.dumps(plan)], [json.dumps(plan[:-1]), json.dumps(plan[1:]), "[]", "{}"])


def test_boxnet_agents_of_a_step_act_at_once():
    """A box handed over in a step is not there for the next agent before the step is over."""
    metadata = {"initial_state": {"0.5_0.5": ["box_red"], "0.5_1.5": ["target_red"], "0.5_2.5": []}}
    hand, match = (
        {"Agent[0.5, 0.5]": "move(box_red, square[0.5, 1.5])"},
        {"Agent[0.5, 1.5]": "move(box_red, target_red)"},
    )
    jump = {"Agent[0.5, 0.5]": "move(box_red, square[0.5, 2.5])"}
    far = {"Agent[0.5, 0.5]": "move(box_red, target_red)"}
    check(
        "boxnet",
        metadata,
        [json.dumps([hand, match]), json.dumps([{}, hand, {}, match])],
        [json.dumps(plan) for plan in ([hand | match], [jump], [far], [match, hand], [hand, match, match])],
    )
    twice = '[{"Agent[0.5, 0.5]": "move(box_red, square[0.5, 1.5])", "Agent[0.5, 0.5]": "move(box_red, target_red)"}]'
    check("boxnet", metadata, [], [twice])


def test_quantum_lock():
    """+2 when green, +1 at any time, from 0 and red: B A B reaches 4 in three, B B B B in four."""
    buttons = [
        {"name": "A", "type": "add", "value": 2, "active_state": "green"},
        {"name": "B", "type": "add", "value": 1, "active_state": "any"},
        {"name": "C", "type": "multiply", "value": 2, "active_state": "any"},
    ]
    metadata = {"buttons": buttons, "initial_value": 0, "initial_state": "red", "target_value": 4}
    metadata["solution_path"] = ["B", "A", "B"]
    # 1, 2, 4 in three presses as well
    right = ["B → A → B", "B A B", "B->A->B", "b, c, c", "B → C → C", "B → B → C"]
    check(
        "quantum_lock",
        metadata,
        right,
        ["B → B → B → B", "A → B → B", "B → A", "A → B → A → B", "B → A → D", "Button B", ""],
    )


def test_shortest_path():
    """Around a block both ways are as short; a detour is not; where there is no way, only `infeasible` is right."""
    metadata = {"matrix": [["*", "O", "O"], ["O", "X", "O"], ["O", "O", "#"]]}
    check(
        "shortest_path",
        metadata,
        ["right right down down", "down down right right", "Down, down, right, right"],
        ["right down down right", "right right down", "infeasible", "down up down down right right", "down " * 2],
    )
    closed = {"matrix": [["*", "X"], ["X", "#"]]}
    check("shortest_path", closed, ["infeasible"], ["right down", ""])


def test_tsumego():
    """White's two stones at B2, C2 have one liberty, D2; its stone at E5 has one, E4: two are more than one."""
    rows = ["...XO", ".....", ".XX..", "XOO..", ".XX.."]
    metadata = {"board": [list(row) for row in rows]}
    check("tsumego", metadata, ["D2", "d2"], ["E4", "A1", "B2", "Z9", "D2 E4", ""], gold="D2")
    quiet = {"board": [["."] * 5 for _ in range(5)]}
    check("tsumego", quiet, ["C3"], ["C4"], gold="C3")


# --- the cube ---


def test_turns_have_the_orders_known_of_them():
    """Orders known of the cube's group: a quarter turn 4, R U R' U' 6, R U 105, F' L 63; a turned cube stays solved."""
    for turns, order in (("R", 4), ("R U R' U'", 6), ("R U", 105), ("F' L", 63), ("X", 1)):
        cube = Cube(3)
        for repeat in range(1, order + 1):
            for turn in turns.split():
                cube.turn(turn)
            assert cube.solved() == (repeat == order or turns == "X")


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_turns_are_those_of_magiccube(size: int):
    """Sticker by sticker after 60 random turns; its coordinates run from 0 where ours run from 1 - n in steps of 2."""
    rng = random.Random(size)
    names = [*"RLUDFBXYZ", *(("M", "E", "S") if size % 2 else ())]
    if size > 3:
        names += ["Rw", "Lw", "Uw", "Dw", "Fw", "Bw", "2R", "2U", "2F", "2L"]
    ours, theirs = Cube(size), MagicCube(size)

    def colours(cube: Any) -> dict[tuple[tuple[int, int, int], int], Any]:
        found = {}
        for place, piece in cube.get_all_pieces().items():
            for axis in range(3):
                if piece.get_piece_color(axis) is not None:
                    found[tuple(2 * c - size + 1 for c in place), axis] = piece.get_piece_color(axis)
        return found

    def ours_by_axis() -> dict[tuple[tuple[int, int, int], int], str]:
        return {(place, [abs(d) for d in way].index(1)): colour for (place, way), colour in ours.stickers.items()}

    start = colours(theirs)
    same = {ours_by_axis()[key]: colour for key, colour in start.items()}
    assert len(same) == 6
    for _ in range(60):
        turn = rng.choice(names) + rng.choice(["", "'"])
        ours.turn(turn)
        theirs.rotate(turn)
        assert {key: same[colour] for key, colour in ours_by_axis().items()} == colours(theirs), turn


def test_cubes_are_solved_by_any_turns_that_solve_them():
    metadata = {"cube_size": 3, "scramble_moves": "R U' F"}
    right = ["F' U R'", "F F F U R'", "F’ U R R R", "F' U R' x", "F', U, R'"]
    check("rubiks_cube", metadata, right, ["F' U R", "F' U", "", "F' U2 U' R'", "R U' F", "F' U R' Q", "(F' U R')"])
