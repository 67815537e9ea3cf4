# Everything a newcomer or CI needs; each target does its own set-up.
PYTHON ?= python3
VENV := .venv/bin
export PYTHON

.PHONY: deb trees install uninstall help run test check bench soak fuzz setup setup-test peers lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: ## a gateway and two nodes behind two NATs, in namespaces; TAILSCALE=1 adds an official client
	@build/setup.sh run
	@$(if $(TAILSCALE),build/peers.sh >/dev/null)
	@$(VENV)/python -m tests.netlab.demo $(if $(TAILSCALE),--tailscale)

test: setup-test peers trees ## every test that needs no hour, with a time table at the end; ONLY="core sim" for some stages
	@$(VENV)/python tests/stages.py $(ONLY)

check: setup-test ## lint, format, types, portability of the core
	@$(VENV)/python tests/stages.py check

bench: setup-test peers ## side by side with the official client, ratios first
	@$(VENV)/python -m tests.bench

soak: setup-test peers ## the simulator over many seeds (SEEDS=20), a hundred changes of the uplink
	@$(VENV)/python -m tests.sim --seeds $(or $(SEEDS),20)
	@SWAPS=100 $(VENV)/python -m tests.netlab $(VENV)/pytest -s tests/interop/test_swaps.py

fuzz: setup-test ## long runs of the hostile-input tests (FUZZ_SECONDS=600 for each target in C)
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) $(VENV)/pytest -s tests/shim/test_fuzz.py
	@HYPOTHESIS_PROFILE=fuzz $(VENV)/pytest tests/core tests/shim tests/node tests/gateway -m hypothesis --timeout 7200

deb: setup ## Debian packages for trixie, amd64 and arm64, in dist/deb (root: a chroot is made once)
	@build/deb.sh

install: ## on a server or a board, as root: commands and systemd units; "make uninstall" takes them away
	@build/install.sh

uninstall:
	@build/install.sh remove

setup: ## .venv with locked packages and skerry itself
	@build/setup.sh run

setup-test:
	@build/setup.sh test

peers: ## the interop peers, built once into the cache
	@build/peers.sh >/dev/null

trees: # of trixie, for the stage "deb", whose budget is for a warm cache; it tells itself what went wrong
	@$(if $(filter deb,$(or $(ONLY),deb)),build/deb.sh trees >/dev/null || true)

lock: ## renew requirements.lock from pyproject.toml (needs uv)
	@printf 'hatchling\ncffi\nsetuptools\neditables\n' > .venv/build.in
	uv pip compile --universal --python-version 3.11 --generate-hashes --all-extras --no-annotate --no-header --no-emit-index-url \
	  pyproject.toml .venv/build.in -o requirements.lock

clean: ## remove what set-up made in the checkout
	rm -rf .venv dist build/lib firmware/skerry_shim/_shim*.so firmware/skerry_shim/_shim.c
