"""The command `aelab`: what dvc and mlflow lack. `aelab --help` lists it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from aelab.cli import commands
from aelab.config import runtime  # noqa: F401  (stages inherit its environment variables)
from aelab.runner import cores

CORES = cores.count()
Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, help="Cores: stages at once, and what seeds they fork.")]


class Command(TyperCommand):
    """Every command runs in the project's root, wherever it is typed, and ends in one line where a user can mend it."""

    def invoke(self, ctx: Any) -> Any:
        with mistakes(ctx.info_name):
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what has finished is kept
            typed, root = Path.cwd(), project(Path.cwd())
            if root != typed:  # files are meant as they were typed
                ctx.params = {name: beside(typed, value) for name, value in ctx.params.items()}
                os.chdir(root)
            return super().invoke(ctx)


def project(folder: Path) -> Path:
    """The root of the project that a folder lies in: the nearest one with a dvc.yaml and a params.yaml (or DVC's
    settings). Raises ValueError."""
    for root in (folder, *folder.parents):
        if (root / "dvc.yaml").is_file() and ((root / "params.yaml").is_file() or (root / ".dvc").is_dir()):
            return root
    raise ValueError(f"not inside an AE Lab project: no params.yaml and dvc.yaml in {folder} or above")


def beside(folder: Path, value: Any) -> Any:
    """The value of a parameter with its paths taken from `folder`."""
    if isinstance(value, (list, tuple)):
        return [beside(folder, each) for each in value]
    return folder / value if isinstance(value, Path) else value


@contextlib.contextmanager
def mistakes(command: str) -> Iterator[None]:
    """What a user can mend ends in one line; AELAB_TRACEBACK=1 shows where it came from."""
    try:
        yield
    except BrokenPipeError:  # `aelab show vae | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        dvc = sys.modules.get("dvc.exceptions")  # not imported where no command has needed it
        mendable = (ValueError, OSError, dvc.DvcException) if dvc else (ValueError, OSError)
        if not isinstance(error, mendable) or os.environ.get("AELAB_TRACEBACK"):
            raise
        file = error.filename if isinstance(error, OSError) else None
        what = f"{file}: {error.strerror}" if isinstance(error, OSError) and file else str(error)
        sys.exit(f"aelab {command}: {' '.join(what.split())}")


def check(sweep: str | None = None) -> None:
    """Raise ParamsError for a mistake in params.yaml. Not in that of another project, which `aelab repro` runs too, and
    not in a trial, as its sweep has looked."""
    from aelab.config import params

    if params.FILE.exists() and Path("stages/add_src_to_path.py").exists() and "AELAB_ECHO" not in os.environ:
        params.check_all(sweep)


app = typer.Typer(
    help="The autoencoder laboratory: what dvc and mlflow lack.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def aelab() -> None:
    """Commands stay words, also where there is only one."""


@app.command()
def repro(
    targets: Annotated[
        list[str] | None, typer.Argument(help="Stages, such as train@vae or evaluate; none: all of dvc.yaml.")
    ] = None,
    jobs: Jobs = CORES,
    gpus: Annotated[
        str, typer.Option(help="GPUs to share out among the stages, such as 0,1; none: each stage sees all.")
    ] = "",
    force: Annotated[bool, typer.Option("-f", "--force", help="Run stages again that are up to date.")] = False,
) -> None:
    """Run what has changed, as `dvc repro` does, several stages at a time.

    The result is the same dvc.lock, byte for byte. Each stage's words go to logs/<stage>.log. A failed stage stops only
    what depends on it; the exit code is then 1. Ctrl-C ends the stages too; what had finished is kept.
    """
    from dvc.exceptions import DvcException

    from aelab.cli.verify import commit
    from aelab.runner import console, pipeline

    with console.shown() as view:
        try:
            failed = pipeline.repro(targets or [], view, jobs, [gpu for gpu in gpus.split(",") if gpu], force, check)
        except DvcException:
            check()  # what DVC stumbles over may be a mistake in params.yaml
            raise
    console.say(view.summary())
    if not failed and (words := commit.against_commit()):
        console.say(words)
    for name in failed:
        log = pipeline.log_of(name)
        console.say(f"{name} failed: {console.last_line(log)} (all of it: {log})")
    sys.exit(bool(failed))


@app.command()
def verify(
    models: Annotated[list[str] | None, typer.Argument(help="Models such as vae or stack_dae; none: all.")] = None,
    jobs: Jobs = CORES,
) -> None:
    """Make models again, and hold them against dvc.lock and metrics/: a line each.

    The stages that make a model run in a folder of their own; what is upstream is taken as it is. On the same kind of
    machine every byte must be the same, elsewhere the headline numbers within a tolerance; the exit code is 1 where
    that is not so. data/, dvc.lock and DVC's cache stay as they are.
    """
    from aelab.cli.verify import run
    from aelab.runner import console

    check()
    with console.shown() as view:
        verdicts = run.verify(models or [], view, jobs)
    for each in verdicts:
        print(each)
    sys.exit(any(each.fault for each in verdicts))


@app.command()
def sync() -> None:
    """Fill the tracking store from the results: every run that is missing is made again, nothing is trained.

    For a store that was deleted, was down, or belongs to a fresh clone; also of results that `dvc exp` made and of
    stages that DVC restored from its cache. Runs that dead processes left RUNNING are ended. Twice in a row, the second
    time nothing happens.
    """
    from aelab.tracking.sync import Sync

    def sweeps() -> None:
        if any(Path(".aelab/sweeps").glob("*")):
            from aelab.sweeps import run

            run.tell_again(print)

    work = Sync()
    work.everything(before=sweeps)
    print("\n".join(work.summary()))


@app.command()
def ui(port: Annotated[int, typer.Option(help="On this machine alone: http://127.0.0.1:<port>.")] = 5000) -> None:
    """Serve the tracking UI, MLflow's, on the store of this checkout, and print the address to open."""
    from aelab.tracking import ui as server

    server.serve(port)


@app.command()
def sweep(
    name: Annotated[str, typer.Argument(help="An entry of `sweeps:` in params.yaml.")],
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Trials there shall be in all; none: as params.yaml says.")
    ] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Trials at once.")] = 1,
    show: Annotated[bool, typer.Option("--show", help="Only print the trials, and draw the pictures.")] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Only write the best trial's parameters to params.yaml.")
    ] = False,
    trial: Annotated[int | None, typer.Option(help="Which trial --apply takes instead of the best.")] = None,
) -> None:
    """Search parameters with Optuna, by validation numbers of a stage; go on where the last call stopped.

    Each trial runs the pipeline up to that stage in a folder of its own: data/ and params.yaml stay as they are.
    Ctrl-C ends the trials at work; they are taken up by the next call. MLflow shows a run per sweep, its trials below.
    """
    if (show and apply) or (trial is not None and not apply):
        raise ValueError("--show and --apply exclude each other, and --trial goes with --apply")

    from aelab.runner import console
    from aelab.sweeps import run

    if apply:
        for key, value in run.apply(name, trial).items():
            print(f"{key}: {value}")
        return
    if not show:
        check(name)
        run.sweep(name, trials, jobs, console.say)
    print(run.report(name))


app.registered_commands += commands.app.registered_commands
for each in app.registered_commands:
    each.cls = Command
