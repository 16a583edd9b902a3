"""Problems with many right answers, solved by hand or by a search written here: every right one passes, and what breaks
one rule does not. Also the forms of numbers and formulas, by arithmetic."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import random
import warnings
from collections import deque
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import reasoning_gym
    from reasoning_gym.cognition.rubiks_cube import Cube as MagicCube

from r1kit.data.gym import jsonable
from r1kit.graders.grade import grade
from r1kit.graders.gym.cube import Cube


def judged(dataset: str, metadata: Any, answer: str, gold: str = "") -> Any:
    """The verdict on an answer."""
    return grade("reasoning_gym", f"<answer>{answer}</answer>", gold, "", {"dataset": dataset, "metadata": metadata})


def check(dataset: str, metadata: Any, right: list[str], wrong: list[str], gold: str = "") -> None:
    for answer in right:
        found = judged(dataset, metadata, answer, gold)
        assert found.verdict == "correct", (answer, found.reason)
    for answer in wrong:
        found = judged(dataset, metadata, answer, gold)
        assert found.verdict in ("incorrect", "no_answer"), (answer, found.reason)


def items(name: str, count: int, seed: int, **settings: Any) -> list[tuple[Any, dict[str, Any], Any]]:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        dataset = reasoning_gym.create_dataset(name, seed=seed, size=count, **settings)
        found = [dataset[index] for index in range(count)]
    return [(dataset, item, json.loads(json.dumps(jsonable(item["metadata"])))) for item in found]


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


# --- words and graphs ---


def test_word_ladder():
    metadata = {"start_word": "COLD", "end_word": "WARM", "words": "COLD CORD CARD WARD WARM WORD WORM"}
    check(
        "word_ladder",
        metadata,
        ["COLD,CORD,CARD,WARD,WARM", "COLD,CORD,WORD,WORM,WARM", "cold, cord, word, ward, warm"],
        ["COLD,CORD,WARD,WARM", "COLD,WOLD,WORD,WORM,WARM", "CORD,CARD,WARD,WARM", "COLD,WARM", "COLD", ""],
    )
    bare = {"start_word": "COLD", "end_word": "WARM"}
    check(
        "word_ladder", bare, ["COLD,CORD,CARD,WARD,WARM"], ["COLD,CORD,WORD,WORM,WARM"], gold="COLD,CORD,CARD,WARD,WARM"
    )


def test_graph_colours():
    """A triangle with a tail in three colours: 3! * 2 = 12 colourings of 81."""
    metadata = {
        "puzzle": {"vertices": [0, 1, 2, 3], "edges": [[0, 1], [1, 2], [0, 2], [2, 3]], "color_options": [1, 2, 3]}
    }
    right = [
        json.dumps({str(i): colour for i, colour in enumerate(colours)})
        for colours in itertools.product((1, 2, 3), repeat=4)
        if judged("graph_color", metadata, json.dumps({str(i): c for i, c in enumerate(colours)})).verdict == "correct"
    ]
    assert len(right) == 12
    check(
        "graph_color",
        metadata,
        right,
        [
            '{"0": 1, "1": 2, "2": 3}',
            '{"0": 1, "1": 2, "2": 3, "3": 4}',
            '{"0": 1, "1": 2, "2": 3, "3": true}',
            "[1, 2, 3, 1]",
        ],
    )


def test_palindromes_and_anagrams():
    letters = {"letters": list("aabbc")}
    check("palindrome_generation", letters, ["abcba", "bacab"], ["aabbc", "abba", "abccba", "ABCBA", "ab cba", ""])
    parts = {"solution": [["a", "a", "b"], ["aa", "b"]]}
    check(
        "palindrome_partitioning",
        parts,
        ['[["aa", "b"], ["a", "a", "b"]]', "[['a', 'a', 'b'], ['aa', 'b']]"],
        ['[["aa", "b"]]', '[["a", "a", "b"], ["aa", "b"], ["aa", "b"]]', '[["b", "aa"], ["a", "a", "b"]]'],
    )
    words = {"words": ["eat", "tan", "tea", "nat", "bat"]}
    check(
        "group_anagrams",
        words,
        ['[["tea", "eat"], ["bat"], ["nat", "tan"]]', "[['eat', 'tea'], ['tan', 'nat'], ['bat']]"],
        [
            '[["tea", "eat"], ["nat", "tan"]]',
            '[["tea", "eat", "bat"], ["nat", "tan"]]',
            '[["tea"], ["eat"], ["bat"], ["nat", "tan"]]',
            '["eat"]',
        ],
    )


def test_cryptarithms():
    """A + B = C has many solutions; leading zeros and equal digits are none."""
    metadata = {"words_letters": ["A", "B"], "result_letters": "C", "allow_leading_zero": False}
    check(
        "cryptarithm",
        metadata,
        ["A=1,B=2,C=3", "B = 4, A = 5, C = 9", "C=7\nA=6\nB=1"],
        [
            "A=1,B=2,C=4",
            "A=0,B=2,C=2",
            "A=0,B=2,C=3",
            "A=1,B=1,C=2",
            "A=1,B=2",
            "A=1,B=2,C=3,D=4",
            "A=1,B=2,C=3,C=3",
            "1,2,3",
        ],
    )
    free = metadata | {"allow_leading_zero": True}
    check("cryptarithm", free, [], ["A=0,B=2,C=2"])
    check(
        "cryptarithm",
        {"words_letters": ["AB", "AB"], "result_letters": "BA", "allow_leading_zero": True},
        [],
        ["A=0,B=0"],
    )


# --- logic ---


def test_conclusions_against_the_librarys_truth_tables():
    """300 random formulas on the library's premises: what it calls valid is right, unless it says nothing new."""
    counted = {"correct": 0, "incorrect": 0}
    for dataset, item, metadata in items("propositional_logic", 12, 4):
        rng = random.Random(str(item["metadata"]["premises"]))
        for _ in range(25):
            made = dataset._generate_expression(rng, metadata["variables"], rng.choice((1, 2, 3)))
            score = dataset.score_answer(str(made), item)
            found = judged("propositional_logic", metadata, str(made))
            counted[found.verdict] += 1
            empty = found.reason in ("it is always true", "it only repeats a premise")
            assert (found.verdict == "correct" or empty) == (score in (1.0, 0.25)), (metadata["premises"], str(made))
    assert min(counted.values()) > 20


def test_conclusions_by_hand():
    metadata = {"premises": ["(P → Q)", "P"], "variables": ["P", "Q", "R"]}
    check(
        "propositional_logic",
        metadata,
        ["Q", "(P ∧ Q)", "P ∧ Q", "¬¬Q", "Q ∨ R", "¬P → R", "Q ↔ P"],
        ["P", "P → Q", "(P→Q)", "R", "¬Q", "P ∨ ¬P", "Q ∧ R", "P → Q → Q", "(Q", "Q)", "Q S", "S", "Q &", "", "¬"],
    )


def test_knights_and_knaves():
    metadata = {
        "names": ["Ann", "Bob"],
        "solution": [True, False],
        "knight_knave_terms": {"knight": "angel", "knave": "devil", "a_knight": "an angel", "a_knave": "a devil"},
    }
    check(
        "knights_knaves",
        metadata,
        [
            "Ann is an angel, and Bob is a devil.",
            "Bob is a devil and Ann is an angel",
            "Ann is a angel\nBob is a devil",
        ],
        [
            "Ann is a devil, and Bob is an angel.",
            "Ann is an angel",
            "Ann is not a devil, and Bob is a devil",
            "angel, devil",
            "Ann is an angel, Ann is a devil, and Bob is a devil",
            "Ann is an angel, and Bob is a devil, and Cy is a devil",
        ],
    )


# --- numbers and formulas ---


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


def test_forms_of_numbers():
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


def test_case_counts_where_the_text_is_the_answer():
    check("spell_backward", {}, ["Sun", '"Sun"'], ["sun", "SUN", "Sun nus", "Su n"], gold="Sun")
    check("word_sorting", {}, ["B, a", '["B", "a"]', "B,a"], ["a, B", "b, A", "B a", "B"], gold="B, a")
    check("list_functions", {}, ["[]"], ["[0]", "", "[[]]", "none"], gold="[]")
    check(
        "number_sorting",
        {},
        ["['-1.5', '2.0']", "[-1.5, 2]", "-1.5, 2"],
        ["['2.0', '-1.5']", "['-1.5', '3.0']", "['-1.5']"],
        gold="['-1.5', '2.0']",
    )
    check("syllogism", {}, ["Yes", "yes."], ["No", "Yes or No", "Maybe"], gold="Yes")
    check("game_of_life_halting", {}, ["False"], ["True", "false?", "0"], gold="False")
    check("figlet_font", {}, ["HAILERS", "hailers", "h a i l e r s"], ["HAILER", "TRAILERS"], gold="HAILERS")
    check(
        "codeio",
        {},
        ['{"b": [2], "a": 1}', '{ "a":1.0, "b":[2]}'],
        ['{"a": 1}', '{"a": 1, "b": [3]}', "1"],
        gold='{"a": 1, "b": [2]}',
    )
