"""Set all models side by side: the table, the figures and the report that holds both."""

import here  # noqa: F401  (first: which code runs)
from aelab.core import checkpoints, params, stage


def compare(job: stage.Job) -> None:
    from aelab.data import splits

    data = checkpoints.load_json(splits.LEARNING / "meta.json")
    with job.track(data["name"]) as recorder:
        settings, *groups = params.load("compare", "models", "unrolled", "stacks")
        recorder.params({"compare": settings})
        from aelab.report import champions, figures, headlines, markdown, page, table
        from aelab.report.changed import SECTIONS, changed
        from aelab.report.provenance import PARAMETERS
        from aelab.report.results import Item, Results

        def item(name: str) -> Item:
            folder = stage.folder("evaluate", name)
            about = checkpoints.load_json(folder / "metrics.json")
            return Item(name, about, splits.load_arrays(folder / "arrays.npz"))

        floors = stage.folder("floors")
        items = {name: item(name) for group in groups for name in group}
        results = Results(
            data,
            items,
            checkpoints.load_json(floors / "floors.json"),
            splits.load_arrays(floors / "arrays.npz"),
            checkpoints.load_json(stage.folder("power") / "power.json"),
            checkpoints.load_json(stage.folder("transfer") / "transfer.json"),
            changed(data["name"], items.values(), params.written(*SECTIONS)),
        )
        summary = table.summary(results)
        frame = table.frame(results)
        (job.out / "comparison.csv").write_text(table.csv(frame), encoding="utf-8")
        (job.out / "curves.csv").write_text(table.csv(table.curves(results)), encoding="utf-8")
        (job.out / "comparison.md").write_text(markdown.markdown(results), encoding="utf-8")
        checkpoints.save_json(job.out / "summary.json", summary)
        titles = figures.draw(results, settings, job.out / "figures")
        report = page.page(results, titles, job.out / "figures", params.written(*PARAMETERS))
        (job.out / "report.html").write_text(report, encoding="utf-8")
        recorder.metrics({f"{metric}/{name}": v for name, found in summary.items() for metric, v in found.items()})
        recorder.headlines(headlines.headlines(results))
        recorder.table("comparison.json", frame.astype(object).where(frame.notna(), None).to_dict("list"))
        for best in champions.champions(results):
            recorder.model(best.item.described, best.item.metrics, best.task.name, best.why, best.task.aliases)
        recorder.artifact(job.out)


if __name__ == "__main__":
    stage.main(compare)
