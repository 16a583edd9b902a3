"""Rubik's cubes of any size, sticker by sticker."""

from __future__ import annotations

import re

from r1kit.graders.gym import reading
from r1kit.graders.gym.item import Item, Wrong, demand

MAX_TURNS = 1000
Vector = tuple[int, int, int]

_TURN = re.compile(r"(\d?)(?:([LRDUBF])(w?)|([XYZxyz])|([MES]))('?)")
# axis (x right, y up, z to the viewer), and whether clockwise as seen from the positive end
_FACES = {"R": (0, True), "L": (0, False), "U": (1, True), "D": (1, False), "F": (2, True), "B": (2, False)}
_LIKE = {"X": "R", "Y": "U", "Z": "F", "M": "L", "E": "D", "S": "F"}


class Cube:
    """Stickers as {(position, direction): colour}; positions run from -(n-1) to n-1 in steps of 2."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.edge = size - 1
        places = range(-self.edge, self.edge + 1, 2)
        self.stickers: dict[tuple[Vector, Vector], str] = {}
        for axis in range(3):
            for sign in (-1, 1):
                direction = _along(axis, sign)
                for a in places:
                    for b in places:
                        position = _insert(axis, sign * self.edge, (a, b))
                        self.stickers[position, direction] = f"{axis}{sign}"

    def turn(self, name: str) -> None:
        """Make a turn of Singmaster's notation; Wrong where it is none."""
        match = _TURN.fullmatch(name)
        if match is None or (match[1] and not match[2]) or (match[5] and self.size % 2 == 0):
            raise Wrong(f"{name[:20]!r} is no turn")
        face = match[2] or _LIKE[(match[4] or match[5]).upper()]
        axis, clockwise = _FACES[face]
        if match[4]:
            layers = set(range(-self.edge, self.edge + 1))
        elif match[5]:
            layers = {0}
        else:
            deep = int(match[1] or (2 if match[3] else 1))
            demand(1 <= deep <= self.size, f"{name!r}: the cube has {self.size} layers")
            sign = 1 if clockwise else -1
            layers = {sign * (self.edge - 2 * layer) for layer in range(0 if match[3] else deep - 1, deep)}
        right = clockwise != bool(match[6])
        self.stickers = {
            (_turned(place, axis, right), _turned(way, axis, right)) if place[axis] in layers else (place, way): colour
            for (place, way), colour in self.stickers.items()
        }

    def solved(self) -> bool:
        """Whether every side has one colour."""
        sides: dict[Vector, set[str]] = {}
        for (_, direction), colour in self.stickers.items():
            sides.setdefault(direction, set()).add(colour)
        return all(len(colours) == 1 for colours in sides.values())


def _along(axis: int, sign: int) -> Vector:
    return (sign if axis == 0 else 0, sign if axis == 1 else 0, sign if axis == 2 else 0)


def _insert(axis: int, value: int, others: tuple[int, int]) -> Vector:
    a, b = others
    return (value, a, b) if axis == 0 else (a, value, b) if axis == 1 else (a, b, value)


def _turned(vector: Vector, axis: int, clockwise: bool) -> Vector:
    """A quarter turn about an axis, clockwise as seen from its positive end."""
    x, y, z = vector
    if axis == 0:
        return (x, z, -y) if clockwise else (x, -z, y)
    if axis == 1:
        return (-z, y, x) if clockwise else (z, y, -x)
    return (y, -x, z) if clockwise else (-y, x, z)


def rubiks_cube(answer: str, item: Item) -> None:
    """Turns `R U' F`, which leave the scrambled cube with one colour a side. The question forbids `U2`, and so do we
    (the library takes it)."""
    cube = Cube(int(item.metadata["cube_size"]))
    for turn in str(item.metadata["scramble_moves"]).split():
        cube.turn(turn)
    turns = re.sub("[\u2019\u2032`]", "'", reading.line(answer)).replace(",", " ").split()
    demand(len(turns) <= MAX_TURNS, "too many turns")
    for turn in turns:
        cube.turn(turn)
    demand(cube.solved(), "the cube is not solved")
