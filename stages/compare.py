"""Compare all models: the table, the figures, and the report that shows both."""

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params
from aelab.data import storage
from aelab.runner import stage


def compare(job: stage.Job) -> None:
    from aelab.data import splits

    data = storage.load_json(splits.LEARNING / "meta.json")
    with tracking.track(job, data["name"]) as recorder:
        settings, *groups = params.load("compare", "models", "unrolled", "stacks")
        recorder.params({"compare": settings})
        from aelab.report import best_models, headlines, markdown, table
        from aelab.report.figures import catalogue
        from aelab.report.html import page
        from aelab.report.provenance import PARAMETERS
        from aelab.report.results import Item, Results

        def item(name: str) -> Item:
            folder = stage.folder("evaluate", name)
            about = storage.load_json(folder / "metrics.json")
            return Item(name, about, *(storage.load_arrays(folder / file) for file in ("arrays.npz", "per_image.npz")))

        baselines = stage.folder("baselines")
        found = [item(name) for group in groups for name in group]
        items = {each.name: each for each in found if "normal" not in each.about}
        results = Results(
            data,
            items,
            storage.load_json(baselines / "baselines.json"),
            storage.load_arrays(baselines / "arrays.npz"),
            storage.load_json(stage.folder("capacity") / "capacity.json"),
            storage.load_json(stage.folder("noise_transfer") / "noise_transfer.json"),
            [each for each in found if "normal" in each.about],
        )
        summary = table.summary(results)
        frame = table.frame(results)
        (job.out / "comparison.csv").write_text(table.csv(frame), encoding="utf-8")
        (job.out / "curves.csv").write_text(table.csv(table.curves(results)), encoding="utf-8")
        (job.out / "comparison.md").write_text(markdown.markdown(results), encoding="utf-8")
        storage.save_json(job.out / "summary.json", summary)
        titles = catalogue.draw(results, settings, job.out / "figures")
        report = page.page(results, titles, job.out / "figures", params.written(*PARAMETERS))
        (job.out / "report.html").write_text(report, encoding="utf-8")
        recorder.metrics({f"{metric}/{name}": v for name, result in summary.items() for metric, v in result.items()})
        recorder.headlines(headlines.headlines(results))
        recorder.table("comparison.json", frame.astype(object).where(frame.notna(), None).to_dict("list"))
        for best in best_models.best_models(results):
            if best.registered:
                recorder.model(best.item.described, best.item.metrics, best.task.name, best.why, best.task.aliases)
        recorder.artifact(job.out)


if __name__ == "__main__":
    stage.main(compare)
