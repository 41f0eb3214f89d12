"""`aelab` commands for own data, `use`, and for trained models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aelab.data.columns import Kind, Scaling

if TYPE_CHECKING:
    import numpy as np

    from aelab.inference.file_io import Codes
    from aelab.inference.predictor import Predictor

EVERY_MODEL = ("reconstructions", "curves", "quality", "cost", "noise-map")  # figures of all models
EVERY_STACK = ("stacks", "stack-curves", "labels", "class-errors")

SAID = {"image": "images", "table": "rows", "series": "series"}

app = typer.Typer()

Name = Annotated[
    str, typer.Option("-m", "--model", help="A trained model such as vae, or a champion such as encoder@champion.")
]
Seed = Annotated[int, typer.Option("--replicate", min=0, help="Which of its seeds.")]
Files = Annotated[
    list[Path],
    typer.Argument(
        help="PNG pictures of the model's size, white on black; npz files with `images`; one table or file of series."
    ),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="What to write: .npz; .png for images; .csv for tables.")]


@app.command()
def use(
    path: Annotated[
        Path | None, typer.Argument(help="A folder of images, an .npy or .npz; a table: .csv, .tsv, .parquet, .npz.")
    ] = None,
    name: Annotated[str, typer.Argument(help="Of the study, studies/<name>; none: that of the path.")] = "",
    size: Annotated[
        int | None, typer.Option(help="Scale the shorter side of each image to so many pixels, and cut out the middle.")
    ] = None,
    channels: Annotated[int | None, typer.Option(help="1: as grey images, 3: as coloured ones.")] = None,
    label: Annotated[
        str | None, typer.Option(help="The column, of a table or of metadata.csv, that holds the classes.")
    ] = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out files that cannot be read.")] = False,
    drop: Annotated[list[str] | None, typer.Option(help="A column to leave out; may be given several times.")] = None,
    group: Annotated[str | None, typer.Option(help="A column: its rows with one value stay in one split.")] = None,
    time: Annotated[str | None, typer.Option(help="A column: the last rows by it are the test split.")] = None,
    scale: Annotated[
        Scaling, typer.Option(help="Of a table's numbers: rank (quantiles of a normal distribution) or standard.")
    ] = "rank",
    window: Annotated[
        int | None, typer.Option(help="Cut recordings, a row per time step, into windows of so many.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Steps between the starts of two windows; none: the window.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Of the data; none: as the path looks.")] = None,
    normal: Annotated[
        list[str] | None,
        typer.Option(help="A class that is normal, all others are anomalies; none: as the classes are named."),
    ] = None,
    example: Annotated[
        str | None,
        typer.Option(help="Instead of PATH, without network: colour, table, table-mixed, series, series-anomaly."),
    ] = None,
) -> None:
    """Make a study of your own data: look at it, and choose the models that suit it. Nothing in PATH changes."""
    from aelab.cli import use as own
    from aelab.sources.own import kind as kind_of
    from aelab.sources.settings import Dataset

    if path is None and example is None:
        raise ValueError("give PATH, or --example")
    if path and example:
        raise ValueError(f"{path}: not with --example; the study of an example has the name of its data set")
    if path:
        where = path.resolve()
        named = name or re.sub(r"\W+", "_", where.stem.lower()).strip("_")
        given = {"size": size, "channels": channels, "label": label, "skip_broken": skip_broken}
        given |= {
            "drop": tuple(drop or ()),
            "group": group,
            "time": time,
            "scale": scale,
            "window": window,
            "stride": stride,
        }
        dataset = Dataset(named, str(where), kind or kind_of(where, window), **given)  # type: ignore[arg-type]
    elif example in own.EXAMPLES:
        dataset = Dataset(own.EXAMPLES[example])
    else:
        raise ValueError(f"--example: {example!r} is unknown; allowed: {', '.join(own.EXAMPLES)}")
    folder = own.use(dataset, print, normal or ())
    print(f"next: `aelab repro {folder}`, then open {folder}/metrics/report.html")


@app.command()
def show(model: Annotated[str, typer.Argument(help="A trained model such as vae, or denoiser@champion.")]) -> None:
    """Print what a model is, its metrics and diagnoses, and the figures that show it."""
    from aelab.inference import predictor
    from aelab.tracking.models import Card

    name, about, _ = predictor.find(model)
    numbers = about.pop("metrics", {})
    say(Card(about, numbers).text())
    result = [path for path in pictures(name, about["kind"]) if path.exists()]
    say("\n".join(["Pictures:", *map(str, result)]) if result else "Pictures: none yet; `aelab repro` draws them")


@app.command()
def encode(files: Files, model: Name = "encoder@champion", out: Out = Path("codes.npz"), replicate: Seed = 0) -> None:
    """Encode images: an npz with `codes`, one row per image, and the name of the model."""
    from aelab.inference import file_io

    served = load(model, replicate)
    images, labels = read(files, served)
    codes = served.encode(images, labels)
    file_io.write_codes(out, file_io.Codes(codes, served.name, replicate, served.weights, labels))
    say(f"{out}: {codes.shape[0]} codes of {codes.shape[1]} numbers, by {served.name}")


@app.command()
def decode(
    file: Annotated[
        Path, typer.Argument(help="An npz as encode writes it, or of your own: `codes` [N, K], `labels` for cvae.")
    ],
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Of codes that do not say which model made them; none: encoder@champion."),
    ] = None,
    out: Out = Path("images.png"),
    replicate: Annotated[int | None, typer.Option(min=0, help="Which of its seeds, of such codes; none: 0.")] = None,
) -> None:
    """Decode codes with the model that made them."""
    from aelab.inference import file_io

    codes = file_io.read_codes(file)
    served = maker(file, codes, model, replicate)
    can(served, "decode")
    if served.needs_labels and codes.labels is None:
        raise ValueError(f"{file}: {served.name} needs labels; give `labels` beside `codes`")
    write(out, served.decode(codes.codes, codes.labels if served.needs_labels else None), served)


@app.command()
def denoise(files: Files, model: Name = "denoiser@champion", out: Out = Path("clean.png"), replicate: Seed = 0) -> None:
    """Reconstruct images with a model; the default, the best denoiser, gives clean images."""
    served = load(model, replicate)
    can(served, "denoise")
    write(out, served.rebuild(*read(files, served)), served)


@app.command()
def fill(
    file: Annotated[Path, typer.Argument(help="A table with the columns that the model has learned, or series.")],
    model: Name = "denoiser@champion",
    out: Annotated[Path, typer.Option("-o", "--out", help="What to write: .csv or .parquet; .npz for series.")] = Path(
        "filled.csv"
    ),
    replicate: Seed = 0,
) -> None:
    """Fill the missing cells of a table or of series with a model's reconstruction; all others stay as they are."""
    served = load(model, replicate)
    can(served, "denoise")
    given, labels = read([file], served)
    write(out, served.fill(given, labels), served)


@app.command()
def sample(
    model: Name = "generator@champion",
    n: Annotated[int, typer.Option("-n", min=1, help="How many images.")] = 25,
    seed: Annotated[int, typer.Option(help="Other seeds, other images.")] = 0,
    out: Out = Path("samples.png"),
    replicate: Seed = 0,
) -> None:
    """Generate images from a model's prior."""
    served = load(model, replicate)
    can(served, "sample")
    write(out, served.sample(n, seed), served)


@app.command()
def export(
    model: Annotated[str, typer.Argument(help="A trained model such as vae, or denoiser@champion.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder; made where it is missing.")] = Path("onnx"),
    replicate: Seed = 0,
) -> None:
    """Write encoder.onnx and decoder.onnx, for runtimes without Python."""
    from aelab.inference import onnx_export

    for path in onnx_export.export(load(model, replicate), out):
        say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def pictures(name: str, kind: str) -> list[Path]:
    """The figures that show a model: those of all models, and those whose metadata names it."""
    from PIL import Image

    from aelab.runner import stage

    folder = stage.folder("compare") / "figures"
    mine = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path, formats=("PNG",)) as picture:
            if name in picture.info.get("Models", "").split():
                mine.append(path)
    figures = EVERY_STACK if kind == "classifier" else EVERY_MODEL
    return [*(folder / f"{figure}.png" for figure in figures), *mine]


def load(name: str, replicate: int) -> Predictor:
    from aelab.inference import predictor

    known, about, root = predictor.find(name)
    return predictor.of(known, about, replicate, root)


def can(served: Predictor, task: str) -> None:
    """Raise ValueError if a model cannot do a task, with the names of those that can."""
    from aelab.inference import predictor

    if reason := served.cannot(task):
        raise ValueError(f"{reason}; models that can {task}: {', '.join(predictor.able(task)) or 'none'}")


def maker(file: Path, codes: Codes, model: str | None, replicate: int | None) -> Predictor:
    """The model that made the codes of a file; if the file does not name it, the model asked for.

    Raises ValueError if another one is asked for, and if the model was trained again since.
    """
    from aelab.inference import predictor

    if not codes.model:
        return load(model or "encoder@champion", replicate or 0)
    asked = predictor.find(model)[0] if model else codes.model
    seed = codes.replicate if replicate is None else replicate
    if (asked, seed) != (codes.model, codes.replicate):
        made, wanted = f"{codes.model} (replicate {codes.replicate})", f"{asked} (replicate {seed})"
        raise ValueError(f"{file}: codes of {made}, which {wanted} cannot decode; leave out -m and --replicate")
    served = load(model or codes.model, seed)
    if served.weights != codes.weights:
        raise ValueError(f"{file}: codes of {codes.model} before it was trained again; encode the images again")
    return served


def read(files: list[Path], served: Predictor) -> tuple[Any, np.ndarray | None]:
    """Images, a frame of rows or an array of series, and labels for a model that needs them."""
    from aelab.inference import file_io

    if served.spec.columns:
        if len(files) > 1:
            raise ValueError(f"{files[1]}: a second file; allowed: one table or file of series")
        from aelab.sources import own

        return own.raw(files[0], served.spec.kind), None
    images, labels = file_io.read_images(files, served.spec.shape)
    if served.needs_labels and labels is None:
        raise ValueError(f"{served.name}: needs labels; give one npz with `images` and `labels`")
    return images, labels if served.needs_labels else None


def write(out: Path, made: Any, served: Predictor) -> None:
    from aelab.inference import file_io

    kind = served.spec.kind
    if kind == "image":
        file_io.write_images(out, made)
    else:
        out = file_io.write_rows(out, made)
    say(f"{out}: {len(made):,} {SAID[kind]}, by {served.name}")


def say(text: str) -> None:
    print(text, flush=True)
