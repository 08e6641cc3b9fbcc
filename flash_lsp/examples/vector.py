"""Vectors in the plane, and polygons made of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Vector:
    x: float
    y: float

    def __add__(self, other: Vector) -> Vector:
        return Vector(self.x + other.x, self.y + other.y)

    def __sub__(self, other: Vector) -> Vector:
        return Vector(self.x - other.x, self.y - other.y)

    def __mul__(self, factor: float) -> Vector:
        return Vector(self.x * factor, self.y * factor)

    def __neg__(self) -> Vector:
        return Vector(-self.x, -self.y)

    def dot(self, other: Vector) -> float:
        return self.x * other.x + self.y * other.y

    def cross(self, other: Vector) -> float:
        return self.x * other.y - self.y * other.x

    def length(self) -> float:
        return math.sqrt(self.dot(self))

    def distance(self, other: Vector) -> float:
        return (self - other).length()

    def normalized(self) -> Vector:
        length = self.length()
        if length == 0:
            raise ValueError("the null vector has no direction")
        return Vector(self.x / length, self.y / length)

    def rotated(self, angle: float) -> Vector:
        cos = math.cos(angle)
        sin = math.sin(angle)
        return Vector(self.x * cos - self.y * sin, self.x * sin + self.y * cos)


@dataclass(frozen=True)
class Polygon:
    points: tuple[Vector, ...]

    def __post_init__(self) -> None:
        if len(self.points) < 3:
            raise ValueError("a polygon needs at least three points")

    def edges(self) -> Iterator[tuple[Vector, Vector]]:
        for index, point in enumerate(self.points):
            yield point, self.points[(index + 1) % len(self.points)]

    def area(self) -> float:
        total = 0.0
        for start, end in self.edges():
            total += start.cross(end)
        return abs(total) / 2

    def perimeter(self) -> float:
        total = 0.0
        for start, end in self.edges():
            total += start.distance(end)
        return total

    def center(self) -> Vector:
        total = Vector(0, 0)
        for point in self.points:
            total = total + point
        return total * (1 / len(self.points))

    def moved(self, offset: Vector) -> Polygon:
        return Polygon(tuple(point + offset for point in self.points))

    def scaled(self, factor: float) -> Polygon:
        return Polygon(tuple(point * factor for point in self.points))


def regular_polygon(corners: int, radius: float) -> Polygon:
    points = []
    for corner in range(corners):
        angle = 2 * math.pi * corner / corners
        points.append(Vector(radius * math.cos(angle), radius * math.sin(angle)))
    return Polygon(tuple(points))
