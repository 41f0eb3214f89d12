"""The command `aelab`; `aelab --help` lists its subcommands."""

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

from aelab.cli import applications, cluster, commands
from aelab.config import runtime  # noqa: F401  (stages inherit its environment variables)
from aelab.runner import cores

CORES = cores.count()
Jobs = Annotated[int, typer.Option("-j", "--jobs", min=1, help="Cores: stages at once, and what seeds they fork.")]


class Anywhere(TyperCommand):
    """Reports errors that a user can fix in one line."""

    def invoke(self, ctx: Any) -> Any:
        with mistakes(ctx.info_name):
            signal.signal(signal.SIGTERM, terminated)
            return super().invoke(ctx)


class Command(Anywhere):
    """Runs in the project's root, wherever it is typed."""

    def invoke(self, ctx: Any) -> Any:
        with mistakes(ctx.info_name):
            if folder := ctx.params.get("folder"):
                os.chdir(folder)
            typed, root = Path.cwd(), project(Path.cwd())
            if root != typed:  # paths are relative to where the command was typed
                ctx.params = {name: beside(typed, value) for name, value in ctx.params.items()}
                os.chdir(root)
            return super().invoke(ctx)


def terminated(*_: object) -> None:
    """End as after Ctrl-C, so that finished stages are kept; `timeout` sends the signal twice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def project(folder: Path) -> Path:
    """The root of the project that a folder belongs to.

    The nearest folder with a dvc.yaml and a params.yaml (or DVC's settings). Raises ValueError.
    """
    for root in (folder, *folder.parents):
        if (root / "dvc.yaml").is_file() and ((root / "params.yaml").is_file() or (root / ".dvc").is_dir()):
            return root
    raise ValueError(f"not inside an AE Lab project: no params.yaml and dvc.yaml in {folder} or above")


def beside(folder: Path, value: Any) -> Any:
    """A parameter's value with its paths taken relative to `folder`."""
    if isinstance(value, (list, tuple)):
        return [beside(folder, item) for item in value]
    return folder / value if isinstance(value, Path) else value


@contextlib.contextmanager
def mistakes(command: str) -> Iterator[None]:
    """Print errors that a user can fix as one line; AELAB_TRACEBACK=1 shows the traceback."""
    try:
        yield
    except BrokenPipeError:  # `aelab show vae | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        dvc = sys.modules.get("dvc.exceptions")  # imported only if a command needed it
        mendable = (ValueError, OSError, dvc.DvcException) if dvc else (ValueError, OSError)
        if not isinstance(error, mendable) or os.environ.get("AELAB_TRACEBACK"):
            raise
        file = error.filename if isinstance(error, OSError) else None
        what = f"{file}: {error.strerror}" if isinstance(error, OSError) and file else str(error)
        sys.exit(f"aelab {command}: {' '.join(what.split())}")


def check(sweep: str | None = None) -> None:
    """Raise ParamsError for a mistake in params.yaml.

    Not in another kind of project, which `aelab repro` runs too, and not in a trial, whose sweep has checked it.
    """
    from aelab.config import params

    if params.FILE.exists() and Path("stages/add_src_to_path.py").exists() and "AELAB_ECHO" not in os.environ:
        params.check_all(sweep)


app = typer.Typer(
    help="The autoencoder laboratory: what dvc and mlflow lack.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


study = typer.Typer(help="Studies: the same stages on other settings or data.", no_args_is_help=True)
app.add_typer(study, name="study")


@app.callback()
def aelab() -> None:
    """Keeps subcommands, even if there is only one."""


@app.command()
def repro(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Stages, such as train@vae or evaluate; a study, such as studies/demo; several studies; none: all."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j", "--jobs", min=1, help="Cores: stages at once, and what seeds they fork; none: all there are."
        ),
    ] = None,
    on: cluster.On = "",
    gpus: Annotated[
        str, typer.Option(help="GPUs to share out among the stages, such as 0,1; none: each stage sees all.")
    ] = "",
    force: Annotated[bool, typer.Option("-f", "--force", help="Run stages again that are up to date.")] = False,
    folder: Annotated[Path | None, typer.Option("-C", help="A folder of another DVC project, to run that one.")] = None,
) -> None:
    """Run what has changed, like `dvc repro`, with several stages at a time, or on the machines of a cluster.

    The resulting dvc.lock is the same, byte for byte. The output of each stage goes to logs/<stage>.log. A failed stage
    stops only what depends on it; the exit code is then 1. Ctrl-C stops running stages; finished ones are kept.
    """
    from aelab.cli import headlines
    from aelab.runner import console, pipeline, repository
    from aelab.runner.dvc_api import DvcException

    root = Path.cwd()
    named = [item for item in targets or [] if repository.study(Path(item))]
    if len(named) > 1:
        options = [*(["-j", str(jobs)] if jobs else []), *(["--force"] if force else [])]
        sys.exit(cluster.studies(named, options, on, jobs))
    if targets and named:
        os.chdir(targets.pop(0))
    missing = bool(repository.study(Path.cwd()))  # a fresh clone has its results, not all that led to them
    with console.shown() as view:
        try:
            chosen = [gpu for gpu in gpus.split(",") if gpu]
            executor = cluster.executor(on, jobs, chosen)
            failed = pipeline.repro(targets or [], view, executor, force, check, allow_missing=missing)
        except DvcException:
            check()  # DVC's error may come from a mistake in params.yaml
            raise
    console.say(view.summary())
    if text := executor.summary():
        console.say(text)
    if not failed and (text := headlines.against_commit()):
        console.say(text)
    for name in failed:
        log = Path(os.path.relpath(pipeline.log_of(name).absolute(), root))
        console.say(f"{name} failed: {console.last_line(root / log)} (all of it: {log})")
    sys.exit(bool(failed))


@study.command("new")
def study_new(
    name: Annotated[str, typer.Argument(help="The folder in studies/, and the MLflow experiment.")],
    entries: Annotated[
        list[str] | None, typer.Argument(help="Entries of params.yaml to begin with, such as pca and vae; none: all.")
    ] = None,
) -> None:
    """Make a study: the same stages with a params.yaml of its own, in studies/<name>."""
    from aelab.cli import study as studies

    folder = studies.new(name, entries or [])
    print(f"{folder}: edit {folder}/params.yaml, then `aelab repro {folder}`")


@study.command("delete")
def study_delete(name: Annotated[str, typer.Argument(help="A folder in studies/.")]) -> None:
    """Delete a study and its MLflow experiment; `dvc gc` then frees what the cache holds of it."""
    from aelab.cli import study as studies

    studies.delete(name)


@app.command()
def verify(
    models: Annotated[list[str] | None, typer.Argument(help="Models such as vae or stack_dae; none: all.")] = None,
    jobs: Jobs = CORES,
) -> None:
    """Reproduce models of the last commit and compare them with its dvc.lock and metrics/: one line each.

    The stages of a model run in a git worktree; what they depend on comes from DVC's cache, or runs too. On the same
    kind of machine every byte must be the same, elsewhere the headline metrics must agree within a tolerance; else the
    exit code is 1. data/ and dvc.lock do not change.
    """
    from aelab.cli import verify as reproduction
    from aelab.runner import console

    check()
    with console.shown() as view:
        verdicts = reproduction.verify(models or [], view, jobs)
    for item in verdicts:
        print(item)
    sys.exit(any(item.fault for item in verdicts))


@app.command()
def sync() -> None:
    """Fill the tracking store from the results: every missing run is re-created, nothing is trained.

    For a store that was deleted, was down, or belongs to a fresh clone; also for results of `dvc exp` and of stages
    that DVC restored from its cache. A second call changes nothing.
    """
    from aelab.tracking.sync import Sync

    work = Sync()
    if any(Path(".aelab/sweeps").glob("*")):
        from aelab.sweeps import run

        run.tell_again(print)
    print("\n".join(work.summary()))


@app.command()
def ui(port: Annotated[int, typer.Option(help="On this machine alone: http://127.0.0.1:<port>.")] = 5000) -> None:
    """Serve the MLflow UI for the store of this checkout, and print the address to open."""
    from aelab.tracking import ui as server

    server.serve(port)


@app.command()
def sweep(
    name: Annotated[str, typer.Argument(help="An entry of `sweeps:` in params.yaml.")],
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Trials there shall be in all; none: as params.yaml says.")
    ] = None,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Trials at once.")] = 1,
    on: cluster.On = "",
    show: Annotated[bool, typer.Option("--show", help="Only print the trials, and draw the pictures.")] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Only write the best trial's parameters to params.yaml.")
    ] = False,
    trial: Annotated[int | None, typer.Option(help="Which trial --apply takes instead of the best.")] = None,
) -> None:
    """Search parameters with Optuna, by validation metrics of a stage; continues where the last call stopped.

    Each trial runs the pipeline up to that stage in a folder of its own: data/ and params.yaml do not change. Ctrl-C
    stops the running trials; the next call resumes them. MLflow shows a run per sweep, with its trials below.
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
        with cluster.shared(on) as address:
            run.sweep(name, trials, jobs, console.say, address)
    print(run.report(name))


for part in (commands, applications, cluster):
    app.registered_commands += part.app.registered_commands
for each in (*app.registered_commands, *study.registered_commands):
    each.cls = Anywhere if each.callback is cluster.node else Command
