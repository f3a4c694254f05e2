"""A folder is asked for before hours of work, and by several processes at once."""

import shlex
from concurrent.futures import ThreadPoolExecutor

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from bayesft.errors import SettingError
from bayesft.folders import at_once, make_writable, override, typed


def test_it_is_made_and_left_empty_however_many_ask(tmp_path):
    folder = tmp_path / "a" / "b"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: make_writable(folder, "hydra.run.dir"), range(400)))
    assert list(folder.iterdir()) == []


def test_what_cannot_be_a_folder_is_named_with_its_setting(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"file/x cannot be written.*hydra.sweep.dir=<folder>"):
        make_writable(tmp_path / "file" / "x", "hydra.sweep.dir")
    with pytest.raises(SettingError, match="storage=<file>"):
        make_writable(tmp_path / "file", "hydra.sweeper.storage", "<file>")


def test_a_file_is_there_at_once_or_as_it_was(tmp_path):
    path = tmp_path / "a.json"
    with at_once(path) as temporary:
        temporary.write_text("1")
        assert not path.exists()

    def full():
        with at_once(path) as temporary:
            temporary.write_text("half of")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        full()
    assert path.read_text() == "1"
    assert list(tmp_path.iterdir()) == [path]


def test_threads_of_one_process_do_not_write_over_each_other(tmp_path):
    def write(number: int) -> None:
        with at_once(tmp_path / "a") as temporary:
            temporary.write_text(str(number) * 1000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8), chunksize=1))
    assert len(set((tmp_path / "a").read_text())) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize(
    "path",
    [
        "/a/b-1.2",
        "/home/jürgen x/2026",
        "a=b",
        "a,b",
        "(a)[b]{c}",
        "it's",
        'a "b"',
        "${c}",
        "~/x y",
        r"C:\runs\a b",
        "a b\\",
        r"a\"b",
        r"\${a} b",
    ],
)
def test_a_path_is_an_override_that_hydra_and_a_shell_understand(path):
    parser = OverridesParser.create()
    for text in (override("hydra.sweep.dir", path), *shlex.split(typed("hydra.sweep.dir", path))):
        [parsed] = parser.parse_overrides([text])
        assert parsed.key_or_group == "hydra.sweep.dir"
        assert not parsed.is_sweep_override()
        assert OmegaConf.create({"path": parsed.value()}).path == path
    assert typed("a", "/plain/path.1") == "a=/plain/path.1"
