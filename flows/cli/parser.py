"""The command's words."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).parents[1] / "recipes"
"""Where the named recipes lie."""
SETTINGS = "a recipe's name or file (default: default), and overrides, for example learner.epochs=2"


class Words(argparse.ArgumentParser):
    """A parser whose errors read as all others do."""

    def error(self, message: str) -> Any:
        """Says what is wrong and ends with exit code 2."""
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a call; ``call`` names the function that serves it."""
    parser = Words(prog="superalign", description="The attacker-learner-critic loop: every round versioned, gated and measured.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_rounds, _looks, _checks, _verifies, _judges, _benches, _begins, _keeps, _serves, _people, _studies):
        add(Adder(commands))
    options, rest = parser.parse_known_args(words)
    if rest and (not hasattr(options, "settings") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.settings += rest  # argparse leaves words that come after an option
    return options


class Adder:
    """Adds a command with the options that all of them have."""

    def __init__(self, commands: Any) -> None:
        self.commands = commands

    def __call__(self, name: str, call: str, help_: str) -> argparse.ArgumentParser:
        """A command called ``name``, served by ``call`` (``module:function`` in this folder)."""
        command: argparse.ArgumentParser = self.commands.add_parser(name, help=help_, description=f"{help_[:1].upper()}{help_[1:]}.")
        command.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        command.add_argument("--workspace", default=".", metavar="DIR", help="folder of data/, mlruns/ and .superalign/ (default: here)")
        command.set_defaults(call=call)
        return command


class _Version(argparse.Action):
    """Prints the installed version, which is looked up only where it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Prints it and ends."""
        from importlib.metadata import version

        parser.exit(0, f"superalign {version('superalign')}\n")


def _rounds(add: Adder) -> None:
    run = add("run", "running:run", "run rounds, or complete those that were cut off")
    said = (
        f"Recipes: {', '.join(sorted(path.stem for path in RECIPES.glob('*.yaml')))}.",
        "Settings and their defaults: superalign/recipe.py.",
        "Exit codes: 0 done; 1 something failed, and the same command resumes; 2 a wrong recipe or file; 3 a gate failed or a training ran "
        "away; 130 and 143 interrupted, and the same command resumes.",
    )
    run.formatter_class = argparse.RawDescriptionHelpFormatter
    run.epilog = "\n".join(textwrap.fill(line, 100, break_on_hyphens=False) for line in said)
    run.add_argument(
        "settings", nargs="*", metavar="RECIPE key=value", help="recipe (default: default) and overrides, e.g. learner.epochs=2"
    )
    run.add_argument("--rounds", type=_positive, default=1, metavar="N", help="rounds in sequence (default: 1)")
    run.add_argument("--round", type=_positive, metavar="K", help="this round: completed if it is unfinished, verified if it is over")
    run.add_argument("--human", action="store_true", help="labels come from people, through `superalign review`")
    run.add_argument("--discard", action="store_true", help="give the unfinished round up first")
    bootstrap = add("bootstrap", "running:bootstrap", "make round 0: seed data, base learner, base critic")
    bootstrap.add_argument(
        "settings", nargs="*", metavar="RECIPE key=value", help="recipe and overrides; pretraining.KEY=VALUE for --from-scratch"
    )
    bootstrap.add_argument("--from-scratch", action="store_true", help="train the base policies anew instead of unpacking those shipped")


def _looks(add: Adder) -> None:
    add("rounds", "looking:rounds", "list the rounds")
    show = add("show", "looking:show", "show what a stage of a round wrote")
    show.add_argument("round", type=_count, metavar="ROUND")
    show.add_argument(
        "stage", nargs="?", metavar="STAGE", help="a stage, or what it wrote: queries, responses, critiques, labels, preferences, gates ..."
    )
    show.add_argument("--id", metavar="ID", help="one row")
    show.add_argument("--trace", action="store_true", help="the rows it comes from, back to the seed")
    show.add_argument("--limit", type=_positive, default=10, metavar="N", help="most rows (default: 10)")
    lineage = add("lineage", "looking:lineage", "show where a version comes from")
    lineage.add_argument("version", metavar="VERSION", help="for example learner/4")
    compare = add("compare", "looking:compare", "compare two versions")
    compare.add_argument("one", metavar="VERSION")
    compare.add_argument("other", metavar="VERSION")
    report = add("report", "looking:report", "write a round's report again and say where it is")
    report.add_argument("round", type=_count, metavar="ROUND")
    add("status", "looking:status", "say what runs, what waits and who is champion")


def _checks(add: Adder) -> None:
    check = add("check", "checking:run", "say whether a file is fit to train on; exit code 0 fit, 1 unfit, 2 a bad call or file")
    check.add_argument("file", metavar="FILE", help="JSONL, JSONL.gz, Parquet or CSV: responses, demonstrations or preferences")
    check.add_argument(
        "settings", nargs="*", metavar="key=value", help="other limits, e.g. max_quarantine=0.1 drops.length=0.5 warnings=[drift]"
    )
    check.add_argument(
        "--baseline", nargs="+", action="extend", default=[], metavar="FILE", help="earlier files, oldest first: has diversity fallen?"
    )
    check.add_argument("--against", metavar="FILE", help="a benchmark: is it inside?")
    for role, what in (
        ("text", "the texts that are checked"),
        ("prompt", "what they answer"),
        ("group", "what they answer, by a name: pairs rows of different files"),
        ("label", "their labels"),
        ("item", "the benchmark's items"),
    ):
        check.add_argument(f"--{role}", metavar="COLUMN", help=f"column of {what} (default: guessed, and said)")
    check.add_argument("--html", nargs="?", const="", metavar="PATH", help="write a page, and Data Docs beside it (default: check.html)")


def _benches(add: Adder) -> None:
    bench = add("bench", "benching:run", "measure this machine: our sampling and training beside what one would write without them")
    bench.add_argument("what", choices=("sampling", "training"))
    bench.add_argument("settings", nargs="*", metavar="key=value", help="sizes, e.g. model=0.5b num_prompts=256")


def _verifies(add: Adder) -> None:
    verify = add("verify", "verifying:run", "say which responses of a file are right, by a domain's verifier")
    verify.add_argument("domain", metavar="DOMAIN", help="arithmetic, gsm8k, code, instructions, or a folder with a domain.yaml")
    verify.add_argument("file", metavar="FILE", help="JSONL, JSONL.gz, Parquet or CSV")
    verify.add_argument("--response", metavar="COLUMN", help="column of the responses; dots enter objects (default: response, output ...)")
    verify.add_argument("--target", metavar="COLUMN", help="column of what is right (default: the domain's)")
    add("domains", "verifying:domains", "list the domains: what is measured in them, and who tells")
    verify.add_argument("--out", metavar="FILE", help="write every row with verdict, parsed and error (JSONL)")


def _judges(add: Adder) -> None:
    agreement = add("agreement", "judging:agreement", "say how far a judge agrees with people: accuracy, kappa, consistency, calibration")
    calibrate = add("calibrate", "judging:calibrate", "say when a judge may be trusted, and when a human must be asked")
    for command in (agreement, calibrate):
        command.add_argument(
            "file", nargs="?", metavar="FILE", help="rows of item, judge, verdict, label, and annotator, order, confidence if there are"
        )
        command.add_argument(
            "--rounds", action="store_true", help="in place of a file: this workspace's rounds with oversight.selector=random"
        )
        command.add_argument(
            "--shown", action="store_true", help="in order 1 a verdict names the position shown (default: the original answer)"
        )
    agreement.add_argument("--bins", action="store_true", help="print how often verdicts of like confidence are right")
    agreement.add_argument("--wins", metavar="LABEL", help="print how often people would give this label, by each judge and few labels")
    agreement.add_argument("--scores", action="store_true", help="print the mean score that people would give, where verdicts are numbers")
    calibrate.add_argument("--risk", type=float, required=True, metavar="SHARE", help="most of its verdicts that may disagree with people")
    calibrate.add_argument(
        "--confidence", type=float, default=0.9, metavar="SHARE", help="of calibrations in which that holds (default: 0.9)"
    )
    calibrate.add_argument("--cascade", metavar="JUDGE,JUDGE", help="judges asked in turn, the cheapest first (default: each for itself)")
    calibrate.add_argument(
        "--minimum", type=_positive, metavar="N", help="items at which testing starts; fix it before you look (default: 60)"
    )


def _begins(add: Adder) -> None:
    init = add("init", "beginning:run", "write a domain of your own to begin with")
    init.add_argument("--domain", required=True, metavar="NAME", help="what it is to be called, for example my_domain")
    init.add_argument("--no-python", action="store_true", help="tables and a domain.yaml in place of a package")
    init.add_argument("--into", metavar="DIR", help="a new or empty folder (default: ./NAME)")


def _keeps(add: Adder) -> None:
    rollback = add("rollback", "keeping:rollback", "take champion and data back to a version")
    rollback.add_argument("version", metavar="VERSION", help="for example learner/2")
    rollback.add_argument("--reason", required=True, help="why, for whoever reads the lineage")
    repair = add("repair", "keeping:repair", "bring a missing or corrupted file back, from DVC or MLflow")
    repair.add_argument("path", metavar="PATH")
    add("doctor", "keeping:doctor", "look for what is wrong with this workspace")


def _serves(add: Adder) -> None:
    add("up", "serving:up", "start Prefect's and MLflow's servers in the background")
    add("down", "serving:down", "end the servers that `superalign up` started, and the worker")
    serve = add("serve", "serving:serve", "serve a version over HTTP as OpenAI's server would, through vLLM or transformers")
    serve.add_argument("version", metavar="VERSION", help="for example learner@champion, learner@candidate or critic/2")
    serve.add_argument("--engine", choices=("vllm", "transformers"), help="what serves it (default: vllm where it is installed)")
    serve.add_argument("--host", default="127.0.0.1", metavar="HOST", help="address it listens on (default: 127.0.0.1)")
    serve.add_argument("--port", type=_port, default=8000, metavar="PORT", help="port (default: 8000)")
    schedule = add("schedule", "serving:schedule", "run rounds by the clock; without options, list what is scheduled")
    schedule.add_argument("settings", nargs="*", metavar="RECIPE key=value", help=SETTINGS)
    schedule.add_argument("--cron", metavar="CRON", help='when, for example "0 2 * * 1": Mondays at two')
    schedule.add_argument("--timezone", default="UTC", metavar="ZONE", help="whose clock (default: UTC)")
    schedule.add_argument("--rounds", type=_positive, default=1, metavar="N", help="rounds each time (default: 1)")
    schedule.add_argument("--remove", metavar="NAME", help="take a schedule away")


def _people(add: Adder) -> None:
    review = add("review", "people:review", "answer what a round asks people; without an action, one question after another")
    actions = ("list", "show", "answer", "undo", "adjudicate", "status", "export", "import", "pull")
    review.add_argument("action", nargs="?", choices=actions, help="`adjudicate` decides where people disagree, `pull` reads MLflow's UI")
    review.add_argument("subject", nargs="?", metavar="ID|FILE", help="a question's id, or a .csv or .jsonl file")
    review.add_argument("verdict", nargs="?", choices=("right", "wrong"), help="the answer")
    review.add_argument("--round", type=_positive, metavar="K", help="whose questions (default: the last round that asked)")
    review.add_argument("--step", type=_count, metavar="N", help="zero-based index of the first wrong step")
    review.add_argument("--correction", metavar="TEXT", help="what that step should be")
    review.add_argument("--by", metavar="NAME", help="who answers (default: your login name)")
    review.add_argument("--revise", action="store_true", help="replace an answer of yours that stands")
    review.add_argument(
        "--assist", nargs="?", const="all", choices=("all", "half"), help="see what the critics said, or on a random half of the questions"
    )
    data = add("data", "people:data", "add a team's own data")
    data.add_argument("action", choices=("add",))
    data.add_argument("file", metavar="FILE", help="JSONL, Parquet or CSV")
    data.add_argument("--as", dest="kind", required=True, choices=("queries", "demonstrations", "preferences"))


def _studies(add: Adder) -> None:
    add("critics", "studying:critics", "list the critic's versions: how good they are, what they cost, what they did for the learner")
    study = add("study", "studying:study", "measure an open question on arithmetic; the same command resumes")
    asked = (
        "does a critic's quality predict gains; what do human labels buy; does the generation-verification gap predict gains; "
        "what warns of collapse; what do weak labels teach"
    )
    study.add_argument("what", choices=("critic", "oversight", "gap", "collapse", "weak-to-strong"), help=asked)
    study.add_argument("settings", nargs="*", metavar="key=value", help="other sizes, e.g. rng_seeds=[0] rounds=2 round.num_queries=500")
    study.add_argument("--quick", action="store_true", help="sizes of a minute or two, which show that it runs and answer nothing")
    study.add_argument("--out", metavar="DIR", help="where its page, plot and points go (default: .superalign/studies/pages)")
    papers = add(
        "papers", "studying:papers", "list the methods: papers, recipes, what the papers report and, where it was, what was measured here"
    )
    papers.add_argument("--markdown", action="store_true", help="print docs/papers.md")


def _positive(text: str) -> int:
    if (number := _count(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _port(text: str) -> int:
    if not 0 < (number := _count(text)) < 2**16:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to {2**16 - 1}")
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)
