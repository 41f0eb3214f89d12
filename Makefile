# Every target sets up what it needs by itself; nothing is reinstalled while the lock stands unchanged.
#   make repro | demo | test | test-fast | test-faults | test-cluster | cluster | ui | lint | bench | screenshots       PYTHON=python3.12 chooses the interpreter (3.11 or newer),
#   JOBS=2 how many cores `make repro` uses (all that there are), PORT=5001 where the UI listens
PYTHON ?= python3
TORCH_BACKEND ?=
PORT ?= 5000
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME

.PHONY: repro demo test test-fast test-faults test-cluster cluster ui lint bench screenshots setup
repro: setup
	aelab repro $(addprefix -j ,$(JOBS))

demo: setup
	aelab repro studies/demo $(addprefix -j ,$(JOBS))

test: setup
	pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST)

# formulas, models, data, parameters, report: no pipeline, server, browser or killed process
test-fast: setup
	pytest -n auto -m "not slow" tests/config tests/data tests/evaluation tests/models tests/report tests/training $(PYTEST)

# `make test` has a selection of these: one kill per kind of model instead of twenty, two families of models on odd data
test-faults: setup
	pytest -n auto --dist worksteal --faults tests/faults $(PYTEST)
	pytest -n auto --dist loadfile tests/training/test_checkpoints.py tests/runner/test_stage.py tests/data tests/runner/test_repro.py \
	  tests/tracking/test_tracking.py

# what `aelab repro --on` needs, and its tests: Ray, DVC's remotes; servers on 127.0.0.1 (sshd and PostgreSQL from the system's packages
# openssh-server and postgresql; without one of them its tests are skipped)
cluster: .venv/cluster-ready

test-cluster: cluster
	pytest tests/runner/cluster tests/sweeps/test_sweep_on_a_cluster.py $(PYTEST)

ui: setup
	aelab ui --port $(PORT)

lint: setup
	ruff check . && ruff format --check . && pyright

bench: setup
	python benchmarks/training.py $(BENCH)
	python benchmarks/scale.py $(filter --quick --write,$(BENCH))
	python benchmarks/gpu.py $(filter --write,$(BENCH))

screenshots: setup
	python docs/screenshots.py

versions.lock: requirements.lock
	grep -E '^(torch|torchvision|numpy|scipy|scikit-learn|scikit-image)==' $< | sed 's/ *\\$$//' > $@

# the lock of the extra `cluster` without what requirements.lock has:
#   uv pip compile pyproject.toml --extra dev --extra cluster -c requirements.lock --universal --generate-hashes --no-header --no-annotate -q -o all.lock
#   awk 'NR==FNR {if (/==/) seen[$$1]=1; next} /==/ {keep=!($$1 in seen)} keep' requirements.lock all.lock > requirements-cluster.lock
.venv/cluster-ready: .venv/ready requirements-cluster.lock
	@.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --no-deps --require-hashes -r requirements-cluster.lock
	@touch $@

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "aelab needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12"; exit 1; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@echo "Setting up .venv from requirements.lock (about 6 GB; a minute or two the first time)"
	@test -x .venv/bin/uv || { grep -A 99 '^uv==' requirements.lock | awk 'NR>1 && /^[a-z]/ {exit} {print}' > .venv/uv.lock.txt \
	  && .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock.txt; }
ifeq ($(TORCH_BACKEND),)
	@.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements.lock
else
	@grep -E '^[a-z0-9]' requirements.lock | grep -vE '^(nvidia-|cuda-|triton)' | sed 's/ *\\$$//' > .venv/$(TORCH_BACKEND).txt
	@.venv/bin/uv pip install --quiet --compile-bytecode --python .venv/bin/python --torch-backend $(TORCH_BACKEND) -r .venv/$(TORCH_BACKEND).txt
endif
	@.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .
	@touch $@
