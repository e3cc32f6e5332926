# What one does with this project. Everything runs through uv: the one on PATH, else a private one in .build/uv.

UV := $(shell command -v uv 2>/dev/null || echo .build/uv/bin/uv)
RUN := $(UV) run --quiet
# The certificates this machine trusts, as pip takes them.
export UV_SYSTEM_CERTS ?= 1
# Modules stay compiled between starts, also where the shell forbids it: a start takes half as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench faults screenshots man recording

demo: $(UV) ## the app on a small real world; HEADLESS=1 tells the whole story without it
	$(RUN) medback demo $(if $(HEADLESS),--headless)

test: $(UV)
	$(RUN) pytest -n auto --dist worksteal -q

check: $(UV) ## all that CI checks
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) basedpyright
	$(RUN) basedpyright --pythonplatform Darwin core medback_tui
	$(RUN) basedpyright --pythonplatform Windows core medback_tui
	$(RUN) lint-imports
	$(MAKE) test

bench: $(UV) ## figures beside their peers' into docs/benchmarks.md; SIZE=full: a million files; MINUTES=50; ROW=rescan: that one
	PYTHONPATH=tests $(RUN) python -m bench --size=$(or $(SIZE),small) --minutes=$(or $(MINUTES),0) $(addprefix --row=,$(ROW))

faults: $(UV) ## the long fault loops and campaigns, whole; ends with a table of what was tried
	MEDBACK_FAULTS=full $(RUN) pytest -n auto --dist worksteal -q -rs -m long --timeout 900

screenshots: $(UV) ## the pictures in the README
	$(RUN) python screenshots/take.py

man: $(UV) ## the manual pages, into .build/man
	mkdir -p .build/man
	$(RUN) python -c "from pathlib import Path; from medback_core.cli.manual import pages; \
	[Path('.build/man', name).write_text(page) for name, page in pages().items()]"

recording: $(UV) ## the story in the README, played in a real terminal (needs tmux)
	PYTHONPATH=tests $(RUN) python screenshots/record.py

.build/uv/bin/uv:
	python3 -m venv .build/uv
	.build/uv/bin/pip install --quiet uv
