"""Set all models side by side: the table and the figures."""

from aelab import checkpoints, params, stage


def compare(job: stage.Job) -> None:
    from aelab.data import splits

    data = checkpoints.load_json(splits.FOLDER / "meta.json")
    with job.track(data["name"]) as recorder:
        settings, models, stacks = params.load("compare", "models", "stacks")
        recorder.params({"compare": settings})
        from aelab.report import figures, table
        from aelab.report.results import Item, Results

        def item(name: str) -> Item:
            folder = stage.folder("evaluate", name)
            about = checkpoints.load_json(folder / "metrics.json")
            return Item(name, about, splits.load_arrays(folder / "arrays.npz"))

        floors = stage.folder("floors")
        results = Results(
            data,
            {name: item(name) for name in (*models, *stacks)},
            checkpoints.load_json(floors / "floors.json"),
            splits.load_arrays(floors / "arrays.npz"),
        )
        table.frame(results).to_csv(job.out / "comparison.csv", index=False, float_format="%.6g")
        (job.out / "comparison.md").write_text(table.markdown(results))
        summary = table.summary(results)
        checkpoints.save_json(job.out / "summary.json", summary)
        figures.draw(results, settings, job.out / "figures")
        recorder.metrics({f"{metric}/{name}": v for name, found in summary.items() for metric, v in found.items()})
        recorder.artifact(job.out)


if __name__ == "__main__":
    stage.main(compare)
