"""The walk along the chains of books: every link proven, every sum added up again, some hundred links at a look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from stasis_callback.clock import iso
from stasis_callback.core.money import format_amount
from stasis_callback.store.audit import transfers, xdrs
from stasis_callback.store.audit.rows import (
    NO_END,
    BookRow,
    Link,
    Mark,
    Piece,
    Place,
    Position,
    TransferRow,
    XdrRow,
    read_books,
    read_links,
)
from stasis_callback.store.audit.xdrs import PriceOf
from stasis_callback.store.database.snapshots import Snapshots
from stasis_callback.store.money.chain import first_seal, seal
from stasis_callback.store.money.ledger import DAY_US, spent_today

LINKS_AT_A_LOOK = 500
BOOKS_AT_A_LOOK = 500


@dataclass
class ChainStep:
    """The result of one read."""

    goes_on_at: Position | None
    """None: every book has been looked at."""
    links: int = 0
    wrong: list[str] = field(default_factory=list)
    proven: list[tuple[int, Place]] = field(default_factory=list)
    """Books that are right to their ends."""
    names: list[str] = field(default_factory=list)


class Walk:
    """Goes along the chains. `kept` are the marks of a checkpoint, by the names of books."""

    def __init__(self, looks: Snapshots, price_of: PriceOf, kept: Mapping[str, Mark]) -> None:
        self._looks = looks
        self._price_of = price_of
        self._kept = kept

    def forward(self) -> Iterator[ChainStep]:
        """Along what was not proven before, of every book that has changed."""
        return self._steps(Position(), changed=True)

    def whole(self, position: Position) -> Iterator[ChainStep]:
        """The links of all books, from a position on."""
        return self._steps(position, changed=False)

    def _steps(self, position: Position, *, changed: bool) -> Iterator[ChainStep]:
        goes_on: Position | None = position
        while goes_on is not None:
            with self._looks.look():
                step, parts = self._planned(goes_on, changed=changed)
                links = read_links(self._looks, [part.piece for part in parts]) if parts else {}
            # Thinking takes longer than reading, and nothing waits for it: between looks the log begins anew.
            for part in parts:
                self._take_in(step, part, links.get(part.book.id, []))
            yield step
            goes_on = step.goes_on_at

    def _planned(self, position: Position, *, changed: bool) -> tuple[ChainStep, list[_Stretch]]:
        """The next step: parts of chains that are read at one look."""
        books = read_books(self._looks, position.book_id, BOOKS_AT_A_LOOK, changed=changed)
        step = ChainStep(Position(books[-1].id + 1) if len(books) == BOOKS_AT_A_LOOK else None)
        parts: list[_Stretch] = []
        for book in books:
            if step.links >= LINKS_AT_A_LOOK:
                step.goes_on_at = Position(book.id)
                break
            if book.damaged:
                step.wrong.append(
                    f"{book.name}: {book.damaged} is no whole number, so its chain cannot be verified"
                )
                step.names.append(book.name)
                continue
            place = position.place if book.id == position.book_id else None
            known = book.proven if changed and book.proven and book.proven.link <= book.end.link else None
            start = place or known or Place()
            ahead, room = max(book.end.link - start.link, 0), LINKS_AT_A_LOOK - step.links
            part = _Stretch(book, start, until=NO_END if ahead <= room else start.link + room)
            step.links += min(ahead, room)
            parts.append(part)
            if not part.to_end:
                break
        return step, parts

    def _take_in(self, step: ChainStep, part: _Stretch, rows: list[Link]) -> None:
        place = self._examine(part, rows)
        step.wrong += part.wrong
        if not part.to_end:
            step.goes_on_at = Position(part.book.id, place)
            return
        step.names.append(part.book.name)
        if not part.wrong:
            step.proven.append((part.book.id, place))

    def _examine(self, part: _Stretch, rows: list[Link]) -> Place:
        book = part.book
        marks = [(mark, "kept") for mark in [self._kept.get(book.name)] if mark]
        if book.proven:
            marks.append((Mark(book.proven.link, book.proven.seal), "proven"))
        for row in rows:
            try:
                self._examine_row(part, row)
            except (TypeError, ValueError, ArithmeticError, AttributeError):
                # SQLite takes a fraction, a text or bytes in any column.
                part.skip(row)
            for mark, how in marks:
                if row.link == mark.link and row.seal != mark.seal:
                    part.wrong.append(
                        f"{book.name}: link {row.link} of its chain is not the one that was {how}"
                    )
        if part.to_end:
            part.end(marks)
        return part.place

    def _examine_row(self, part: _Stretch, row: Link) -> None:
        if not part.follows(row):
            return
        if isinstance(row, TransferRow):
            part.wrong += transfers.examine(row, part.book.id)
            part.add_transfer(row)
        else:
            part.wrong += xdrs.examine(row, part.book, self._price_of)
            part.add_xdr(row)


class _Stretch:
    """A part of a book's chain while it is examined."""

    def __init__(self, book: BookRow, start: Place, until: int) -> None:
        self.book = book
        self.start = self.place = start
        self.until = until
        self.to_end = until == NO_END
        self.wrong: list[str] = []
        self._anchored = not start.link
        self._before: str | None = start.seal if start.link else first_seal(book.name, book.currency)
        self._noted: int | None = start.balance_micros

    @property
    def piece(self) -> Piece:
        """What is to be read: from the last link that is known, to see that it is still the same."""
        return Piece(self.book.id, self.start.link - 1 if self.start.link else -NO_END, self.until)

    def follows(self, row: Link) -> bool:
        """Whether a row is the next link, perhaps after some that are missing; False for one that is known."""
        due = self.place.link + 1
        if row.link == self.start.link and not self._anchored:
            self._anchored = True
            if row.seal != self.start.seal:
                self.wrong.append(
                    f"{self.book.name}: link {row.link} of its chain is not the one that was proven"
                )
            return False
        self._anchor()
        if row.link < due:
            self.wrong.append(f"{self.book.name}: link {row.link} of its chain exists twice")
            return False
        if row.link > due:
            self._missing(due, row.link - 1)
        return True

    def _anchor(self) -> None:
        """Say so if the last link that was known is not there any more."""
        if not self._anchored:
            self._anchored = True
            self._missing(self.start.link, self.start.link)

    def _missing(self, first: int, last: int) -> None:
        links = (
            f"link {first} of its chain is" if first == last else f"links {first} to {last} of its chain are"
        )
        self.wrong.append(f"{self.book.name}: {links} missing")
        self._before = self._noted = None

    def add_transfer(self, row: TransferRow) -> None:
        """Take in a transfer: its seal, and what it makes of the balance."""
        self._sealed(row, transfers.content(row), f"transfer {row.id} does not match its seal")
        own = transfers.moved(row, self.book.id)
        if self._noted is not None and row.balance_micros != self._noted + own:
            says, sums = format_amount(row.balance_micros), format_amount(self._noted + own)
            left = f"transfer {row.id} leaves {sums} in {self.book.name} by its entries"
            self.wrong.append(f"{left}, {says} by its word")
        self._noted = row.balance_micros
        day, spent = self.place.spent_day, self.place.spent_micros
        if row.kind == "settle" and own:
            today = row.created_at_us // DAY_US
            spent = spent_today(day, spent, today) - own
            day = day if day - today == 1 else today
        self.place = Place(row.link, row.seal, self.place.balance_micros + own, day, spent)

    def add_xdr(self, row: XdrRow) -> None:
        """Take in a call record."""
        said = xdrs.content(row)
        if said is not None:
            words = f"leg {row.xdr['leg_id']}: its xDR, the leg or its hold does not match its seal"
            self._sealed(row, said, words)
        self._before = row.seal
        self.place = self.place._replace(link=row.link, seal=row.seal)

    def skip(self, row: Link) -> None:
        """Go on behind a row with which nothing can be computed."""
        named = (
            f"transfer {row.id}"
            if isinstance(row, TransferRow)
            else f"leg {row.xdr['leg_id']}: its call record"
        )
        self.wrong.append(
            f"{named} has a damaged value, or a number that is no whole one: it cannot be verified"
        )
        self._before = self._noted = None
        self.place = self.place._replace(link=row.link, seal=row.seal)

    def _sealed(self, row: Link, content: tuple[object, ...], otherwise: str) -> None:
        if self._before is not None and row.seal != seal(self._before, content):
            self.wrong.append(otherwise)
        self._before = row.seal

    def end(self, marks: list[tuple[Mark, str]]) -> None:
        """Compare what the chain has come to with what the book says."""
        self._anchor()
        book, place, named = self.book, self.place, self.book.name
        if place.link < book.end.link:
            self._missing(place.link + 1, book.end.link)
        elif (place.link, place.seal) != (book.end.link, book.end.seal):
            self.wrong.append(f"{named}: its chain ends with another link than the book records")
        for mark, how in marks:
            if mark.link > max(place.link, book.end.link):
                self.wrong.append(
                    f"{named}: its chain ends at link {place.link}, it was {how} up to {mark.link}"
                )
        if book.end.balance_micros != place.balance_micros:
            says, sums = format_amount(book.end.balance_micros), format_amount(place.balance_micros)
            self.wrong.append(f"{named}: the balance is {says}, its entries sum to {sums}")
        if book.held_micros != book.holds_micros:
            held, sums = format_amount(book.held_micros), format_amount(book.holds_micros)
            self.wrong.append(f"{named}: {held} are held, its open holds sum to {sums}")
        if book.end.balance_micros - book.held_micros + book.credit_limit_micros < 0:
            self.wrong.append(f"{named} is below its credit limit")
        # As the ledger counts it: what is charged on another day than the charge before, also on an earlier one by a
        # clock that was put back, begins the sum anew.
        if book.end.spent_day != place.spent_day:
            says, day = _day(book.end.spent_day), _day(place.spent_day)
            self.wrong.append(f"{named}: its last day with a charge is noted as {says}, it was {day}")
        elif book.end.spent_micros != place.spent_micros:
            says, sums = format_amount(book.end.spent_micros), format_amount(place.spent_micros)
            self.wrong.append(f"{named}: {says} count as spent on its last day, {sums} were charged")


def _day(day: int) -> str:
    """A day since the epoch as people write it; far ones as they are."""
    return iso(day * DAY_US)[:10] if 0 < day < 100_000 else f"day {day}"
