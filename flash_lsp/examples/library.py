"""A small lending library: who has which book, and what is overdue."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

LOAN_DAYS = 21
FINE_PER_DAY = 0.25


class LibraryError(Exception):
    """A request that the library has to refuse."""


@dataclass
class Book:
    title: str
    author: str
    copies: int = 1


@dataclass
class Loan:
    title: str
    reader: str
    due: date

    def is_overdue(self, today: date) -> bool:
        return today > self.due

    def fine(self, today: date) -> float:
        days_late = max(0, (today - self.due).days)
        return days_late * FINE_PER_DAY


@dataclass
class Library:
    books: dict[str, Book] = field(default_factory=dict)
    loans: list[Loan] = field(default_factory=list)

    def add(self, book: Book) -> None:
        if book.title in self.books:
            self.books[book.title].copies += book.copies
        else:
            self.books[book.title] = book

    def available(self, title: str) -> int:
        if title not in self.books:
            raise LibraryError(f"no book called {title!r}")
        lent = sum(1 for loan in self.loans if loan.title == title)
        return self.books[title].copies - lent

    def lend(self, title: str, reader: str, today: date) -> Loan:
        if self.available(title) == 0:
            raise LibraryError(f"all copies of {title!r} are lent")
        loan = Loan(title, reader, today + timedelta(days=LOAN_DAYS))
        self.loans.append(loan)
        return loan

    def give_back(self, title: str, reader: str) -> None:
        for loan in self.loans:
            if loan.title == title and loan.reader == reader:
                self.loans.remove(loan)
                return
        raise LibraryError(f"{reader} has not borrowed {title!r}")

    def overdue(self, today: date) -> list[Loan]:
        late = [loan for loan in self.loans if loan.is_overdue(today)]
        return sorted(late, key=lambda loan: loan.due)

    def readers(self) -> set[str]:
        return {loan.reader for loan in self.loans}

    def total_fines(self, today: date) -> float:
        return sum(loan.fine(today) for loan in self.loans)


def load_books(path: Path) -> list[Book]:
    with path.open(encoding="utf-8") as file:
        rows = json.load(file)
    return [Book(row["title"], row["author"], row.get("copies", 1)) for row in rows]


def report(library: Library, today: date) -> str:
    lines = [f"{len(library.books)} books, {len(library.loans)} lent"]
    for loan in library.overdue(today):
        days = (today - loan.due).days
        lines.append(f"{loan.reader}: {loan.title} is {days} days late")
    lines.append(f"fines: {library.total_fines(today):.2f}")
    return "\n".join(lines)
