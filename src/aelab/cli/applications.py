"""`aelab` commands for what trained models are used for: score, search, compress, decompress."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from aelab.cli.commands import SAID, Files, Name, Out, Seed, load, read, say, write

app = typer.Typer()


@app.command()
def score(
    files: Files,
    model: Annotated[str, typer.Option("-m", "--model", help="A trained model such as vae.")],
    by: Annotated[
        str | None,
        typer.Option(help="error, sap, nap, mahalanobis or elbo; none: the best one on validation, as evaluated."),
    ] = None,
    false_alarms: Annotated[float, typer.Option(help="The share of normal items that may be called anomalies.")] = 0.01,
    out: Annotated[Path, typer.Option("-o", "--out", help="What to write: .csv or .parquet.")] = Path("scores.csv"),
    replicate: Seed = 0,
) -> None:
    """Score items, the higher the more anomalous, and name those that exceed a threshold set on validation data."""
    from aelab.inference import file_io, uses

    served = load(model, replicate)
    chosen = by or uses.best_score(served)
    limit = uses.threshold(served, chosen, false_alarms)
    given, labels = read(files, served)
    found = uses.scores(served, given, labels)[chosen]
    columns: dict[str, Any] = {"row": range(len(found)), "score": found, "anomaly": found > limit}
    if len(files) == len(found):
        columns = {"file": list(map(str, files)), **columns}
    file_io.write_columns(out, columns)
    what = f"{len(found):,} {SAID[served.spec.kind]}, {int((found > limit).sum()):,} above {limit:.6g}"
    say(f"{out}: {what}, the threshold for {100 * false_alarms:g}% false alarms; score {chosen}, by {served.name}")


@app.command()
def search(
    query: Annotated[list[Path], typer.Argument(help="What to look for, as other commands take it.")],
    model: Name = "encoder@champion",
    k: Annotated[int, typer.Option("-k", min=1, help="How many neighbours.")] = 10,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="What to write: .csv or .parquet; .png, a sheet, for images.")
    ] = Path("found.csv"),
    replicate: Seed = 0,
) -> None:
    """Find the training items whose codes are nearest to those of a query."""
    import numpy as np

    from aelab.inference import file_io, uses

    served = load(model, replicate)
    given, labels = read(query, served)
    rows, distances = uses.neighbours(served, given, k, labels)
    train = uses.gallery(served)[1]
    if out.suffix == ".png" and served.spec.kind == "image":
        shown = [part for i, x in enumerate(served.inputs(given)) for part in (x[None], train.x[rows[i]])]
        file_io.write_images(out, np.concatenate(shown), columns=k + 1)
    else:
        n, names = len(rows), uses.classes(served, train.y.numpy()[rows.ravel()])
        columns = {"query": np.arange(n).repeat(k), "rank": np.tile(np.arange(1, k + 1), n), "row": rows.ravel()}
        file_io.write_columns(out, columns | {"class": names, "distance": distances.ravel()})
    say(f"{out}: the {k} nearest of {len(train.y):,} training {SAID[served.spec.kind]}, by {served.name}")


@app.command()
def compress(
    files: Files,
    model: Annotated[str, typer.Option("-m", "--model", help="A trained model such as vq_vae.")],
    level: Annotated[
        int | None, typer.Option(min=1, help="1, the finest, to 5, the smallest; none: 3, of vq_vae the only one.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="What to write: .aelc.")] = Path("archive.aelc"),
) -> None:
    """Write an archive of rounded, entropy-coded codes. It can be read as long as the model's weights are there."""
    from aelab.inference import file_io, uses

    served = load(model, 0)
    given, _ = read(files, served)
    archive = uses.compress(served, given, level)
    file_io.write_archive(out, archive)
    n = len(served.inputs(given))
    say(f"{out}: {n:,} {SAID[served.spec.kind]}, {len(archive):,} bytes, {len(archive) / n:.1f} each, by {served.name}")


@app.command()
def decompress(
    file: Annotated[Path, typer.Argument(help="An archive of `aelab compress`.")],
    out: Out = Path("restored.npz"),
) -> None:
    """Rebuild what an archive holds, by the model whose weights it names."""
    from aelab.inference import uses

    try:
        made, served = uses.decompress(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    write(out, made, served)
