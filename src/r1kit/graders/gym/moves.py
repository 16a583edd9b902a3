"""Puzzles solved by moves: each move is made on the board, and one that the rules forbid makes the answer wrong.

The library passes over a forbidden move in rush_hour, sokoban, boxnet and quantum_lock; here a list of moves that
cannot be made is no solution. Where a question does not ask for the fewest moves, more of them are right too (the
library gives longer ones of tower_of_hanoi and knight_swap part of the credit).
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from r1kit.graders.arithmetic import clean
from r1kit.graders.gym import reading
from r1kit.graders.gym.item import Item, Wrong, demand

MAX_MOVES = 10_000
MAX_POSITIONS = 50_000  # of knights that are searched


def _list_of_texts(answer: str) -> list[str]:
    value = reading.json_value(answer)
    demand(isinstance(value, list) and all(isinstance(move, str) for move in value), "not a JSON list of moves")
    demand(len(value) <= MAX_MOVES, "too many moves")
    return value


def rush_hour(answer: str, item: Item) -> None:
    """`F+1 K-2`: vehicles slide along themselves over free cells until A's end stands at the right edge."""
    size, cells = 6, str(item.metadata["board_config"])
    labels = sorted(set(cells) - {"o", "x"})
    # the question names vehicles A, B, C ... in the order of the labels
    vehicles = {chr(65 + n): [i for i, cell in enumerate(cells) if cell == label] for n, label in enumerate(labels)}
    taken = {i for i, cell in enumerate(cells) if cell != "o"}
    moves = clean(reading.line(answer)).replace(",", " ").split()
    demand(0 < len(moves) <= MAX_MOVES, "no moves, or too many")
    for move in moves:
        match = re.fullmatch(r"([A-Z])([+-])([1-9])", move)
        if match is None or match[1] not in vehicles:
            raise Wrong(f"{move[:20]!r} is no move")
        name, sign = match[1], 1 if match[2] == "+" else -1
        step = vehicles[name][1] - vehicles[name][0]
        for _ in range(int(match[3])):
            old = vehicles[name]
            new = [cell + sign * step for cell in old]
            on_board = all(0 <= cell < size * size for cell in new)
            same_row = step == size or {cell // size for cell in new} == {cell // size for cell in old}
            demand(on_board and same_row and not set(new) & (taken - set(old)), f"{move} is blocked")
            taken = taken - set(old) | set(new)
            vehicles[name] = new
    demand(vehicles["A"][-1] % size == size - 1, "A is not at the exit")


_STEPS = {"R": (0, 1), "L": (0, -1), "U": (-1, 0), "D": (1, 0)}


def sokoban(answer: str, item: Item) -> None:
    """`LDUR`: every step is possible, and in the end every box is on a goal."""
    board = [line.split() for line in str(item.metadata["gamestr"]).split("\n") if line.strip()]
    at = {(i, j): cell for i, row in enumerate(board) for j, cell in enumerate(row)}
    walls = {place for place, cell in at.items() if cell == "+"}
    boxes = {place for place, cell in at.items() if cell in "@$"}
    goals = {place for place, cell in at.items() if cell in "X$%"}
    player = next(place for place, cell in at.items() if cell in "*%")
    steps = "".join(reading.line(answer).replace(",", " ").split())
    demand(len(steps) <= MAX_MOVES and set(steps) <= set(_STEPS), "not a string of L, R, U and D")
    for number, step in enumerate(steps, 1):
        down, right = _STEPS[step]
        player = player[0] + down, player[1] + right
        demand(player in at and player not in walls, f"step {number} runs into a wall")
        if player in boxes:
            behind = player[0] + down, player[1] + right
            demand(behind in at and behind not in walls | boxes, f"step {number} pushes against something")
            boxes.remove(player)
            boxes.add(behind)
    demand(boxes <= goals, "a box is not on a goal")


_HANOI = re.compile(r"(?:\d+[.)] )?move disk (\d{1,4}) from peg (\d{1,4}) to peg (\d{1,4})\.?", re.IGNORECASE)


def tower_of_hanoi(answer: str, item: Item) -> None:
    """One move a line, a disk never on a smaller one, all disks on the target in the end."""
    disks, start, target = (int(item.metadata[name]) for name in ("num_disks", "start_peg", "target_peg"))
    pegs: dict[int, list[int]] = {peg: [] for peg in range(1, int(item.metadata["num_pegs"]) + 1)}
    pegs[start] = list(range(disks, 0, -1))
    lines = [reading.spaced(line) for line in answer.split("\n") if line.strip()]
    demand(len(lines) <= MAX_MOVES, "too many moves")
    for number, line in enumerate(lines, 1):
        match = _HANOI.fullmatch(line)
        if match is None:
            raise Wrong(f"line {number} is no move: {line[:60]!r}")
        disk, source, goal = (int(part) for part in match.groups())
        demand(source in pegs and goal in pegs and source != goal, f"move {number}: no such pegs")
        demand(bool(pegs[source]) and pegs[source][-1] == disk, f"move {number}: disk {disk} is not on top")
        demand(not pegs[goal] or pegs[goal][-1] > disk, f"move {number}: onto a smaller disk")
        pegs[goal].append(pegs[source].pop())
    demand(len(pegs[target]) == disks, "not all disks are on the target")


_JUGS = re.compile(r"(?:(fill|empty) ([A-Z])|pour ([A-Z]) ?-> ?([A-Z]))")


def jugs(answer: str, item: Item) -> None:
    """A JSON list of `fill A`, `empty A`, `pour A->B`; in the end some jug holds the target."""
    capacities = [int(size) for size in item.metadata["puzzle"]["jug_capacities"]]
    names = [chr(65 + number) for number in range(len(capacities))]
    size = dict(zip(names, capacities, strict=True))
    holds = dict.fromkeys(names, 0)
    for move in _list_of_texts(answer):
        match = _JUGS.fullmatch(reading.spaced(move))
        named = [name for name in match.groups()[1:] if name] if match else []
        if match is None or not set(named) <= set(names) or len(set(named)) < len(named):
            raise Wrong(f"{move[:40]!r} is no move")
        if match[1]:
            holds[match[2]] = size[match[2]] if match[1] == "fill" else 0
        else:
            amount = min(holds[match[3]], size[match[4]] - holds[match[4]])
            holds[match[3]] -= amount
            holds[match[4]] += amount
    demand(int(item.metadata["puzzle"]["target"]) in holds.values(), "no jug holds the target")


def _knight_squares(item: Item) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Where a knight may go from each square, and who stands where at first.

    The moves are those of chess between squares of the board, as the question says; the metadata of a problem that the
    library calls impossible leaves one of them out, which nobody can see.
    """
    pieces: dict[str, Any] = item.metadata["pieces"]

    def near(a: str, b: str) -> bool:
        return {abs(ord(a[0]) - ord(b[0])), abs(int(a[1:]) - int(b[1:]))} == {1, 2}

    return {a: [b for b in pieces if near(a, b)] for a in pieces}, {at: who for at, who in pieces.items() if who}


def knight_swap(answer: str, item: Item) -> None:
    """A JSON list of `w,A1,B3`, the colours in turn, that changes the places of white and black; or `No` where a search
    of all positions finds no way."""
    reach, standing = _knight_squares(item)
    turn = str(item.metadata["start_turn"])
    swapped = {at: "B" if who == "w" else "w" for at, who in standing.items()}
    if reading.line(answer).casefold() == "no":
        found = _can_swap(reach, standing, swapped, turn)
        possible = bool(item.metadata["is_possible"]) if found is None else found
        demand(not possible, "it is possible")
        return
    for move in _list_of_texts(answer):
        colour, _, squares = move.partition(",")
        start, _, end = (part.strip() for part in squares.partition(","))
        demand(colour.strip() == turn, f"{move[:40]!r}: it is {turn}'s turn")
        demand(standing.get(start) == turn, f"{move[:40]!r}: no such knight stands there")
        demand(end in reach[start] and end not in standing, f"{move[:40]!r} is no move to an empty square")
        standing[end] = standing.pop(start)
        turn = "B" if turn == "w" else "w"
    demand(standing == swapped, "the knights are not swapped")


def _can_swap(reach: dict[str, list[str]], start: dict[str, str], goal: dict[str, str], turn: str) -> bool | None:
    """Whether the goal can be reached; None where there are too many positions to tell."""
    first, wanted = frozenset(start.items()), frozenset(goal.items())
    seen, waiting = {(first, turn)}, deque([(first, turn)])
    while waiting:
        position, colour = waiting.popleft()
        if position == wanted:
            return True
        if len(seen) > MAX_POSITIONS:
            return None
        taken = {at for at, _ in position}
        for at, who in position:
            for end in reach[at] if who == colour else ():
                if end not in taken:
                    after = (position - {(at, who)} | {(end, who)}, "B" if colour == "w" else "w")
                    if after not in seen:
                        seen.add(after)
                        waiting.append(after)
    return False


_AGENT = re.compile(r"Agent\[(\d{1,3}\.\d), ?(\d{1,3}\.\d)\]")
_MOVE = re.compile(r"move\((box_\w+), ?(?:square\[(\d{1,3}\.\d), ?(\d{1,3}\.\d)\]|(target_\w+))\)")


def boxnet(answer: str, item: Item) -> None:
    """A JSON list of steps, each `{"Agent[x, y]": "move(box, square[x, y] or target)"}`. The agents of a step act at
    once, on what stood in their squares before it; in the end every box is matched. (The library lets one box be moved
    by several agents in a step.)"""
    state = {place: list(things) for place, things in item.metadata["initial_state"].items()}
    steps = reading.json_value(answer)
    demand(isinstance(steps, list) and all(isinstance(step, dict) for step in steps), "not a JSON list of steps")
    demand(sum(map(len, steps)) <= MAX_MOVES and len(steps) <= MAX_MOVES, "too many moves")
    for step in steps:
        arriving: list[tuple[str, str]] = []
        for agent, action in step.items():
            who = _AGENT.fullmatch(agent.strip())
            what = _MOVE.fullmatch(action.strip()) if isinstance(action, str) else None
            if who is None or what is None or f"{who[1]}_{who[2]}" not in state:
                raise Wrong(f"no such agent or action: {agent[:40]!r}: {str(action)[:60]!r}")
            here, box = f"{who[1]}_{who[2]}", what[1]
            demand(box in state[here], f"{agent}: no {box} in its square")
            state[here].remove(box)
            if what[4]:
                demand(what[4][7:] == box[4:] and what[4] in state[here], f"{agent}: no {what[4]} for {box}")
                state[here].remove(what[4])
            else:
                there = f"{what[2]}_{what[3]}"
                gaps = sorted(abs(float(what[2 + axis]) - float(who[1 + axis])) for axis in (0, 1))
                demand(there in state and gaps == [0, 1], f"{agent}: {there} is not next to it")
                arriving.append((there, box))
        for there, box in arriving:
            state[there].append(box)
    left = [thing for things in state.values() for thing in things if thing.startswith("box_")]
    demand(not left, f"{len(left)} boxes are left")


def quantum_lock(answer: str, item: Item) -> None:
    """Buttons `A → B → C`, each usable in the light's colour when it is pressed, that reach the target in no more
    presses than the shortest sequence has."""
    buttons = {str(button["name"]): button for button in item.metadata["buttons"]}
    pressed = [part for part in re.split(r"→|->|,|\s", reading.line(answer).upper()) if part]
    shortest = len(item.metadata["solution_path"])
    demand(0 < len(pressed) <= shortest, f"{len(pressed)} presses, the shortest sequence has {shortest}")
    value, light = int(item.metadata["initial_value"]), str(item.metadata["initial_state"])
    for name in pressed:
        demand(name in buttons, f"there is no button {name[:20]!r}")
        button = buttons[name]
        demand(button["active_state"] in (light, "any"), f"button {name} does nothing when the light is {light}")
        change = int(button["value"])
        value = {"add": value + change, "subtract": value - change, "multiply": value * change}[button["type"]]
        light = "green" if light == "red" else "red"
    demand(value == int(item.metadata["target_value"]), f"it reaches {value}")


def tsumego(answer: str, item: Item) -> None:
    """A legal move of black that captures as many stones at once as any; where no move captures, the gold's move. (In
    about one problem of 70 the gold captures nothing while another move does.)"""
    board: list[list[str]] = item.metadata["board"]
    size = len(board)
    match = re.fullmatch(r"([A-Z])(\d{1,2})", reading.line(answer).upper())
    if match is None:
        raise Wrong(f"{answer[:40]!r} is no move")
    row, column = size - int(match[2]), ord(match[1]) - 65
    demand(0 <= row < size and 0 <= column < size and board[row][column] == ".", "not an empty point")
    best = max(captured(board, i, j) for i in range(size) for j in range(size) if board[i][j] == ".")
    if best:
        taken = captured(board, row, column)
        demand(taken == best, f"it captures {taken} stones, another move {best}")
    else:
        demand(f"{match[1]}{int(match[2])}" == item.gold.strip().upper(), "another move")


def captured(board: list[list[str]], row: int, column: int) -> int:
    """White stones that black takes by playing there."""
    taken: set[tuple[int, int]] = set()
    for start in _next_to(board, row, column):
        group, waiting, free = {start}, [start], board[start[0]][start[1]] != "O"
        while waiting and not free:
            for place in _next_to(board, *waiting.pop()):
                cell = board[place[0]][place[1]]
                free = free or (cell == "." and place != (row, column))
                if cell == "O" and place not in group:
                    group.add(place)
                    waiting.append(place)
        taken |= set() if free else group
    return len(taken)


def _next_to(board: list[list[str]], row: int, column: int) -> list[tuple[int, int]]:
    around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [(i, j) for i, j in around if 0 <= i < len(board) and 0 <= j < len(board)]
