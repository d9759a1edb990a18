import json
from itertools import pairwise

from tests.contract.cli.command_line import TEXTS, Commands


def test_tags_are_listed_by_name_and_by_use(commands: Commands) -> None:
    commands.contributed(*TEXTS, "--tag", "zeta", "--tag", "zeal")
    commands.contributed(*TEXTS, "--tag", "zeta", "--on-duplicate", "allow")
    assert commands.output("tags", "Ze") == "     1  zeal\n     2  zeta\n"
    assert commands.output("tags", "ze", "--by-use", "-n", "1") == "     2  zeta\n"
    table = commands.on_terminal("tags", "ze", COLUMNS="80", TERM="dumb").splitlines()
    assert [line.split() for line in table] == [["TRACES", "TAG", "ABOUT"], ["1", "zeal"], ["2", "zeta"]]
    assert commands.output("tags", "no-such-tag") == "nothing found\n"
    by_name = [json.loads(line) for line in commands.output("tags", "--json", "-n", "5").splitlines()]
    assert [tag["name"] for tag in by_name] == sorted(tag["name"] for tag in by_name)
    assert len(by_name) == 5
    by_use = [json.loads(line)["trace_count"] for line in commands.output("tags", "--by-use", "--json").splitlines()]
    assert all(more >= less for more, less in pairwise(by_use))
    assert by_use[0] > by_use[-1] > 0


def test_tags_are_described_and_merged(commands: Commands) -> None:
    commands.contributed(*TEXTS, "--tag", "xeno", "--tag", "xenon", "--on-duplicate", "allow")
    described = "     1  xeno  curated  What is strange\n"
    assert commands.output("describe-tag", "Xeno", "What is strange", "--curated") == described
    assert commands.output("tags", "xen", "--curated") == described
    assert commands.output("describe-tag", "xeno", "--not-curated") == "     1  xeno  What is strange\n"
    assert json.loads(commands.output("describe-tag", "xeno", "", "--json"))["description"] == ""
    assert commands.output("merge-tags", "Xenon", "xeno") == "Xenon is now xeno; traces changed: 1\n"
    assert commands.output("tags", "xen") == "     1  xeno  also xenon\n"
    assert json.loads(commands.output("merge-tags", "xenos", "xeno", "--json"))["moved_trace_count"] == 0
