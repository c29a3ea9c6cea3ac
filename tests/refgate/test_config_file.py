"""YAML as it is read here: nothing twice, nothing hidden, every place with its line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from refgate.config.file import ConfigError, nearest, read_yaml


def read(tmp_path: Path, text: str) -> object:
    (tmp_path / "g.yaml").write_text(text)
    return read_yaml(tmp_path / "g.yaml").value


def test_places_have_their_lines(tmp_path: Path) -> None:
    """The line of a place is where its key stands; of an unknown place, where its surroundings do."""
    (tmp_path / "g.yaml").write_text("a: 1\nb:\n  - x\n  - c: 2\n    d: 3\n")
    located = read_yaml(tmp_path / "g.yaml")
    assert located.value == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    places = [(), ("a",), ("b",), ("b", 0), ("b", 1, "d"), ("b", 1, "e"), ("z", "y")]
    assert [located.line(place) for place in places] == [1, 1, 2, 3, 5, 4, 1]


def test_decimals_stay_as_written(tmp_path: Path) -> None:
    """No amount passes through a float on its way in."""
    assert read(tmp_path, "a: 0.1\nb: 1_0.50\nc: '0.1'\n") == {
        "a": Decimal("0.1"),
        "b": Decimal("10.50"),
        "c": "0.1",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "g.yaml:2: a: is given twice"),
        ("a: &x 1\nb: *x\n", "g.yaml:1: b: anchors are not used here: write the value out"),
        ("a: &x {c: 1}\nb:\n  <<: *x\n", "g.yaml:3: b: the key '<<' must be quoted text"),
        ("on: 1\n", "g.yaml:1: the key 'on' must be quoted text"),
        ("1: 1\n", "g.yaml:1: the key '1' must be quoted text"),
        ("a: !!python/object:os.system x\n", "g.yaml:1: a: python/object:os.system is no kind of value"),
        ("a: !mine x\n", "g.yaml:1: a: !mine is no kind of value here: text is quoted"),
        ("a: .inf\n", "g.yaml:1: a: '.inf' is not a number that is used here"),
        ("a: [\n", "g.yaml:2: is not YAML"),
        ("a: 2026-99-99\n", "g.yaml:1: a: timestamp is no kind of value here: text is quoted"),
        ("a: " + "[" * 40 + "]" * 40 + "\n", "is nested too deeply"),
    ],
)
def test_surprises_of_yaml_are_errors(tmp_path: Path, text: str, message: str) -> None:
    """What a reader would not expect of the text is refused, with its line."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    """A wrong path, a wrong file or a huge one is said in one line."""
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x01\x80")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_yaml(tmp_path / "binary")
    (tmp_path / "huge").write_bytes(b"#" * 1024 * 1025)
    with pytest.raises(ConfigError, match="is larger than"):
        read_yaml(tmp_path / "huge")


def test_a_suggestion_is_close_or_none() -> None:
    """A hint is given where it is likely to be meant."""
    assert nearest("pol_after", ["poll_after", "every"]) == "; did you mean 'poll_after'?"
    assert nearest("zzz", ["poll_after", "every"]) == ""
