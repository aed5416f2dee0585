"""The faults that are put into modules to try their tests."""

import textwrap

from benchmarks.mutants import apply, find_faults

SOURCE = textwrap.dedent('''\
    """A docstring with 1 number."""

    LIMIT = 3 * 2**20


    def keep(path, size):
        if size > LIMIT and not path.exists():
            raise ValueError(f"{size} is over {LIMIT + 1}")
        with lock:
            synchronise(path)
        return run(path, size, read_only=True, options={"network": "none", "ipc": "private"})
    ''')


def changed(line: int) -> set[str]:
    """What a line becomes under each of its faults."""
    return {
        apply(SOURCE, fault).splitlines()[line - 1].strip()
        for fault in find_faults(SOURCE)
        if fault.line == line
    }


def test_limits_are_moved_and_conditions_taken_out() -> None:
    assert changed(3) == {"LIMIT = 3 * 10**6", "LIMIT = 4 * 2**20", "LIMIT = 3 / 2**20"}
    assert changed(7) == {
        "if True:",
        "if False:",
        "if size >= LIMIT and not path.exists():",
        "if size > LIMIT or not path.exists():",
        "if size > LIMIT and path.exists():",
    }


def test_counts_and_shares_become_as_plausible_ones() -> None:
    plausible = {"0.95": {"9.5", "0.9"}, "2000": {"2001", "200"}, "15": {"16", "10"}, "0.0": {"1.0"}}
    for number, others in plausible.items():
        faults = find_faults(f"A = {number}\n")
        assert {apply(f"A = {number}\n", fault) for fault in faults} == {f"A = {other}\n" for other in others}


def test_messages_and_docstrings_are_left_alone() -> None:
    assert changed(1) == set()
    assert changed(8) == {"pass"}


def test_locks_calls_arguments_and_entries_are_taken_out() -> None:
    assert changed(9) == {"with __import__('contextlib').nullcontext():"}
    assert changed(10) == {"pass"}
    assert changed(11) == {
        'return run(size, path, read_only=True, options={"network": "none", "ipc": "private"})',
        'return run(path, size, **{}, options={"network": "none", "ipc": "private"})',
        'return run(path, size, read_only=False, options={"network": "none", "ipc": "private"})',
        "return run(path, size, read_only=True, **{})",
        'return run(path, size, read_only=True, options={**{}, "ipc": "private"})',
        'return run(path, size, read_only=True, options={"network": "none", **{}})',
    }


def test_results_are_exchanged_and_patients_forgotten() -> None:
    source = "def f(groups):\n    return max(groups), 1\n"
    found = {apply(source, fault).splitlines()[1].strip() for fault in find_faults(source)}
    assert found == {
        "return 1, max(groups)",
        "return min(groups), 1",
        "return max(__import__('numpy').arange(len(groups))), 1",
        "return max(groups), 2",
    }
