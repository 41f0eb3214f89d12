"""Measure once what every model is compared with: filters, the noisy input, probes on codes that nobody learned."""

import here  # noqa: F401  (first: which code runs)
from aelab import checkpoints, params, runtime, stage


def floors(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with job.track(meta.name) as recorder:
        seed, machine, settings = params.load("seed", "runtime", "floors")
        recorder.params({"seed": seed, "runtime": machine, "floors": settings})
        from aelab.data import tensors
        from aelab.metrics import floors as measures

        device = job.device(machine)
        data = tensors.everything(device)
        recorder.tags({"device": runtime.describe(device), "seed": seed})
        held_out = tensors.noisy("validation", device)
        denoised, pictures = measures.denoising(data, held_out, settings.digits)
        draws = runtime.generator(seed, "floors", "random codes", device=device)
        probes = measures.probes(data, settings.code, settings.neighbours, draws)
        flat = data.train.x.flatten(1), data.test.x.flatten(1)
        pca = measures.pca_errors(*flat)
        pictures |= {"pca_codes": measures.pca_codes(*flat), "pca_labels": splits.load("test").y}
        checkpoints.save_json(
            job.out / "floors.json",
            {"test_images": len(data.test.y), "denoising": denoised, "probes": probes, "pca_sse": pca},
        )
        splits.save_arrays(job.out / "arrays.npz", pictures)
        recorder.metrics(
            {f"{m}/{n}/{f}": q[m] for n, fs in denoised.items() for f, q in fs.items() for m in ("psnr", "ssim")}
        )
        recorder.metrics({f"{m}/{code}": v for code, found in probes.items() for m, v in found.items()})


if __name__ == "__main__":
    stage.main(floors)
