"""Which cache answers: small windows after jumps, full ones behind, and what stays put."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

import flash_lsp
from flash_engine import DeviceError, Engine
from flash_lsp import recall
from flash_lsp.answers import Place
from flash_lsp.completer import Completer
from flash_lsp.context import lineage as module
from flash_lsp.context.lineage import LocalLineage
from flash_lsp.context.plan import Planner
from flash_lsp.context.recent import OpenFile, Recent, Surroundings
from flash_lsp.flight import Job
from flash_lsp.prompt.window import ContextBlock
from flash_lsp.text import Document, Edit

SOURCE = Path(flash_lsp.__file__).with_name("text.py").read_text(encoding="utf-8")
OTHER = OpenFile("other.py", "python", "def helper(value: int) -> str:\n    return str(value)\n", None)
GO = threading.Event()


@pytest.fixture(scope="module")
def engine():  # type: ignore[no-untyped-def]
    try:
        engine = Engine.load(device="native", draft=None)
    except DeviceError as error:
        pytest.skip(str(error))
    with engine:
        yield engine


def job(at: int, typed: str = "") -> Job:
    return Job("file:///a.py", "a.py", Place(SOURCE[:at] + typed, SOURCE[at:]), 1, 64, -1.0, 1)


def around(*others: OpenFile, epoch: int = 0, budget: int | None = 200) -> Surroundings:
    document = OpenFile("a.py", "python", SOURCE, None)
    return Surroundings(document, None, others, (), epoch, lambda path: True, budget)


@pytest.fixture
def lineage(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> LocalLineage:
    monkeypatch.setattr(module, "FIRST_SECONDS", 1e-9)
    return LocalLineage(engine, Completer(engine))


def sync(lineage: LocalLineage, job: Job) -> int:
    """What answering `job` computes."""
    lineage.face(job)
    prompt = lineage._prompt(lineage._front, job)
    return lineage.session.sync(prompt.tokens)


def test_small_first_full_behind_and_typing_appends(engine: Engine, lineage: LocalLineage) -> None:
    def work() -> None:
        planner = Planner()
        assert sync(lineage, job(5000)) <= module._SMALLEST
        full = lineage.advance(job(5000), around(OTHER), planner, GO)
        assert full > 4 * module._SMALLEST
        typed = [sync(lineage, job(5000, "abc def ghi"[:count])) for count in range(1, 12)]
        assert lineage.state.budget is None
        assert list(lineage.state.context) == [ContextBlock("other.py", OTHER.text)]
        assert sum(typed) / len(typed) <= 3
        assert lineage.advance(job(5000, "abc def ghi"), around(OTHER), planner, GO) == 0

        jump = sync(lineage, job(2500))
        assert jump <= module._SMALLEST
        assert lineage.state.context, "the context's cache stays over a jump"
        behind = lineage.advance(job(2500), around(OTHER), planner, GO)
        assert sync(lineage, job(2500, "x")) <= 3
        assert lineage.state.budget is None
        assert behind < full, "the context is not computed again"

    engine.submit(work).result()


def test_a_better_context_takes_over_only_when_it_is_there(engine: Engine, lineage: LocalLineage) -> None:
    def work() -> None:
        planner = Planner()
        sync(lineage, job(5000))
        lineage.advance(job(5000), around(), planner, GO)
        sync(lineage, job(5000, "a"))
        assert lineage.advance(job(5000, "a"), around(OTHER), planner, GO) == 0, "the same visit"
        interrupted = threading.Event()
        interrupted.set()
        assert lineage.advance(job(5000, "a"), around(OTHER, epoch=1), planner, interrupted) == 0
        assert sync(lineage, job(5000, "ab")) <= 3, "the present cache goes on"
        assert not lineage.state.context
        assert lineage.advance(job(5000, "ab"), around(OTHER, epoch=1), planner, GO) > 100
        assert sync(lineage, job(5000, "abc")) <= 3
        assert lineage.state.context

    engine.submit(work).result()


def test_a_cache_with_context_is_known_again_after_a_restart(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "store_folder", lambda: tmp_path / "kv")
    monkeypatch.setattr(module, "FIRST_SECONDS", 1e-9)
    here = replace(job(5000), uri=(tmp_path / "a.py").as_uri())
    changed = replace(OTHER, text=OTHER.text.replace("helper", "assistant"))

    def start(*others: OpenFile) -> tuple[LocalLineage, int, int]:
        """A lineage after a restart: tokens computed behind, then those that the next answer computes."""
        completer = Completer(engine)
        lineage = LocalLineage(engine, completer, recall.Recall(engine, completer, 100))
        sync(lineage, here)
        behind = lineage.advance(here, around(*others), Planner(), GO)
        return lineage, behind, sync(lineage, here)

    def work() -> None:
        lineage, computed, _ = start(OTHER)
        assert computed > 4 * module._SMALLEST
        assert lineage.state.context
        recall.Recall(engine, Completer(engine), 100).keep(lineage.session, here.uri)
        again, restored, answered = start(OTHER)
        assert (restored, answered) == (1, 0), "but for the last token, whose logits are wanted"
        assert again.session.tokens == lineage.session.tokens
        assert start(changed)[1] > 4 * module._SMALLEST

    engine.submit(work).result()


def test_plans_keep_to_the_budget_and_leave_credentials_out(engine: Engine) -> None:
    completer = Completer(engine)
    secret = OpenFile("s.py", "python", 'TOKEN = "0123456789abcdef"\nsize = 3\n', None)
    go = OpenFile("m.go", "go", "package m\n", None)
    size = lambda blocks: len(completer.context_tokens(blocks))  # noqa: E731
    plan = Planner().plan(around(secret, go, OTHER), 200, size)
    assert [block.path for block in plan] == ["s.py", "other.py"]
    assert plan[0].text == "size = 3\n"
    long = OpenFile("l.py", "python", "".join(f"def f{each}(): ...\n" for each in range(400)), None)
    plan = Planner().plan(around(long), 200, size)
    assert 100 < size(plan) <= 200
    assert plan[0].text.endswith("\n")
    assert Planner().plan(around(OTHER), 0, size) == ()


def test_recent_chunks_and_epochs() -> None:
    recent = Recent()
    a = Document("a", "python", 1, "".join(f"a{each}\n" for each in range(100)))
    b = Document("b", "python", 1, "b\n")
    find = {"a": (a, "a.py"), "b": (b, "b.py")}.get
    recent.visit(a, find)
    recent.edited(a, Edit(a.offset(50, 0, "utf-8"), 0, "x"))
    epoch = recent.epoch
    recent.visit(a, find)
    assert recent.epoch == epoch
    recent.visit(b, find)
    assert recent.epoch == epoch + 1
    (chunk,) = recent.chunks("b")
    assert chunk.path == "a.py"
    assert chunk.text.splitlines()[0] == "a38"
    assert "a50\n" in chunk.text
    assert recent.chunks("a") == ()
    assert recent.order("b") > recent.order("a") > recent.order("c")
    recent.edited(b, Edit(0, 0, "import os\n"))
    assert recent.epoch == epoch + 1, "the line stands as it is in the document"
    imports = Document("b", "python", 2, "import os\n")
    recent.edited(imports, Edit(9, 0, "\n"))
    assert recent.epoch == epoch + 2
    recent.closed("b")
    assert recent.order("b") == -1
