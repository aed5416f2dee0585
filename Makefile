# One place for the commands a person types; each is one line of Python that works without make (see the README).
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.DEFAULT_GOAL := help
.PHONY: help install run-all test docs bench coverage fuzz attacks endure mutants lint clean

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

install: $(INSTALLED) ## make .venv with everything in it

$(INSTALLED): install.py pyproject.toml setup.py constraints.txt bundle_training/requirements.txt bundle_inference/requirements.txt scoring_program/requirements.txt
	$(PYTHON) install.py
	@touch $@

run-all: $(INSTALLED) ## go from images to a score and a report; options: make run-all ARGS="--runner local"
	$(BIN)/python tools/bundle.py run-all $(ARGS)

test: $(INSTALLED) ## run all tests
	$(BIN)/python -m pytest $(ARGS)

docs: $(INSTALLED) ## build the documentation site in site/; a dead link or anchor fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench: $(INSTALLED) ## time each workload compared with a peer (an hour); some of them: make bench ARGS="score zip"
	$(BIN)/python benchmarks/run.py $(ARGS)

coverage: $(INSTALLED) ## how often intervals hold the true score and tests err (an hour); ARGS="--quick" takes a minute
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/coverage.py $(ARGS)

fuzz: $(INSTALLED) ## try made-up and damaged files on what reads them, a minute each; ARGS="--fuzz-seconds 900 --fuzz-seed 7"
	$(BIN)/python -m pytest tests/fuzz -q --fuzz-seconds 60 $(ARGS)

attacks: $(INSTALLED) ## run hostile programs in containers and print the outcome of each
	$(BIN)/python -m pytest tests/docker/test_hostile.py -q --attack-table $(ARGS)

endure: $(INSTALLED) ## evaluate many submissions with the tool killed again and again; ARGS="--submissions 500 --kills 20"
	$(BIN)/python benchmarks/endurance.py $(ARGS)

mutants: $(INSTALLED) ## put small faults into the modules that guard data and machine: do their tests fail? (an hour)
	$(BIN)/python benchmarks/mutants.py $(ARGS)

lint: $(INSTALLED) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy tools/bundle.py tools/challenge_bundle install.py benchmarks/run.py benchmarks/endurance.py benchmarks/mutants.py
	cd bundle_training && ../$(BIN)/mypy --config-file ../pyproject.toml .
	cd bundle_inference && ../$(BIN)/mypy --config-file ../pyproject.toml .
	cd scoring_program && ../$(BIN)/mypy --config-file ../pyproject.toml .

clean: ## remove models, predictions, scores and reports (not the images, not .venv)
	rm -rf .bundle/work .bundle/logs .bundle/stages.json model_output submission.zip
	rm -rf submission_directory/input/res/*.csv submission_directory/output/*.html submission_directory/output/scores.*
