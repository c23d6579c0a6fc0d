# Loadproof. `make help` lists the targets; each also works alone and says what to run first when its input is missing.
# Several goals of one call run in the order of the road whatever -j says: a stage waits for an earlier one only if both are asked for.

PYTHON ?= python3
# An environment stays what it was made as, unless another EXTRA is asked for.
EXTRA  ?= $(or $(patsubst $(VENV)/.installed-%,%,$(firstword $(wildcard $(VENV)/.installed-*))),cpu)
GROUP  ?= default
CONFIG ?= models.toml
BIND   ?= 127.0.0.1

VENV  := .venv
RUN   := $(VENV)/bin/python
STAMP := $(VENV)/.installed-$(EXTRA)
STAGE := --config $(CONFIG) --group $(GROUP)
# What is served is loaded whole, unless somebody names a group.
SERVED := --config $(CONFIG) $(if $(filter file,$(origin GROUP)),,--group $(GROUP))
# A host beyond this machine is loaded only by name, and only with a ceiling: ALLOW_HOST="gpu1 gpu2" MAX_RPS=500.
HOSTS  = $(ALLOW_HOST:%=--allow-host %)
BOUND  = $(HOSTS) $(if $(MAX_RPS),--max-rps $(MAX_RPS))
asked  = $(filter $(1),$(MAKECMDGOALS))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env lock zoo tensorboard export serve loadtest slo scale soak overload certify report history verdict roll status stop
# Containers: docker/compose.yaml. Its other variables (TRITON_HTTP, REGISTRY, …) are taken from the environment.
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
FRAMEWORKS ?= onnxruntime torch tensorflow
# NVIDIA's image has everything but TensorFlow, which the default models' SavedModel needs.
GPU_FRAMEWORKS ?= tensorflow[and-cuda]
ARGS_triton-cpu = --build-arg FRAMEWORKS='$(FRAMEWORKS)'
ARGS_triton = --build-arg FRAMEWORKS='$(GPU_FRAMEWORKS)'
ARGS_tfserving = $(if $(filter gpu,$(PROFILE)),$(if $(BASE),,--build-arg BASE=tensorflow/serving:2.20.0-gpu))
BUILD    = docker build $(foreach name,BASE PIP_INDEX_URL PIP_EXTRA_INDEX_URL,$(if $($(name)),--build-arg $(name)='$($(name))')) $(DOCKER_BUILD)
PROFILE ?= cpu
IMAGES  ?= $(if $(filter gpu,$(PROFILE)),triton tfserving,triton-cpu tfserving-embedded) loadtest
COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
# Two checkouts do not share their containers.
PROJECT ?= loadproof-$(shell echo "$(CURDIR)" | cksum | cut -d ' ' -f 1)
STACK    = $(if $(REGISTRY),REGISTRY="$(patsubst %/,%,$(REGISTRY))/" )WORKSPACE="$(CURDIR)" CONFIG="$(patsubst $(CURDIR)/%,%,$(abspath $(CONFIG)))" GROUP="$(GROUP)" $(COMPOSE) --project-name $(PROJECT) --file docker/compose.yaml
WORKER   = worker$(if $(filter gpu,$(PROFILE)),-gpu)
at       = $(1)://127.0.0.1:$(or $($(2)),$(3))
TRITON_AT    = $(call at,http,TRITON_HTTP,8000),$(call at,grpc,TRITON_GRPC,8001),$(call at,metrics,TRITON_METRICS,8002)
TFSERVING_AT = $(call at,rest,TFSERVING_REST,8501),$(call at,grpc,TFSERVING_GRPC,8500)

.PHONY: image up inside down deploy
.PHONY: check format test test-all test-gpu clean bench

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1  \2/p' $(MAKEFILE_LIST)

env: $(STAMP) ## make the virtual environment from requirements/$(EXTRA).lock (EXTRA=cpu, gpu, or loadtest for machines that only load)

$(STAMP): requirements/$(EXTRA).lock bootstrap.py
	@$(PYTHON) bootstrap.py --extra $(EXTRA) --venv $(VENV)
	@rm -f $(VENV)/.installed-*
	@touch $@

lock: ## resolve pyproject.toml anew into the lock files
	@$(PYTHON) bootstrap.py --lock

zoo: $(STAMP) ## train the example models of the group that are missing
	@$(RUN) -m zoo $(STAGE)

tensorboard: $(STAMP) ## look at the training of the example models, on http://127.0.0.1:6006
	@[ -n "$$(find zoo/out/ -name 'events.out.tfevents*' -print -quit 2>/dev/null)" ] \
	  || { echo "error: no training was logged here; run 'make zoo' first" >&2; exit 2; }
	@$(VENV)/bin/tensorboard --logdir zoo/out --host 127.0.0.1 --port 6006

export: zoo ## export every model, prove each format, write the manifests
	@$(RUN) -m export $(STAGE)

serve: $(STAMP) | $(call asked,export) ## lay out the repository, start the servers, prove every endpoint (USE=tuned.toml PLACE=docker ALLOW_HOST=gpu1)
	@$(RUN) -m serving up $(STAGE) $(if $(USE),--use $(USE)) $(if $(PLACE),--place $(PLACE)) $(HOSTS)

loadtest: $(STAMP) | $(call asked,export serve) ## put every endpoint under load and write the report (PLAN=name, WORKERS=n BIND=address, ALLOW_HOST=gpu1 MAX_RPS=500, LOADTEST="--variant id")
	@$(RUN) -m loadtest $(SERVED) $(if $(PLAN),--plan $(PLAN)) $(if $(WORKERS),--workers $(WORKERS) --bind $(BIND)) $(BOUND) $(LOADTEST)
	@$(RUN) -m report

slo: $(STAMP) | $(call asked,export serve) ## find the highest rate that keeps the objectives, for every endpoint, and say what to serve (SEARCH="--budget-s 300", ALLOW_HOST=gpu1 MAX_RPS=500)
	@$(RUN) -m tune search $(SERVED) $(BOUND) $(SEARCH)

scale: $(STAMP) | $(call asked,export serve slo) ## measure replicas behind a proxy (REPLICAS=1..4 VARIANT=id USE=tuned.toml DEPLOYMENT=namespace/name ALLOW_HOST=gpu1 MAX_RPS=500)
	@$(RUN) -m tune scale $(VARIANT) $(SERVED) --replicas $(or $(REPLICAS),1..4) $(if $(DEPLOYMENT),--deployment $(DEPLOYMENT)) $(if $(USE),--use $(USE)) $(BOUND)
	@$(RUN) -m report

soak: $(STAMP) | $(call asked,export serve) ## half an hour for every endpoint: memory, p99 and errors over time
	@$(RUN) -m loadtest $(SERVED) --plan soak $(BOUND) $(LOADTEST)
	@$(RUN) -m report

overload: $(STAMP) | $(call asked,export serve) ## find what every endpoint can do, go to 150 % of it, and back
	@$(RUN) -m loadtest $(SERVED) --plan overload $(BOUND) $(LOADTEST)
	@$(RUN) -m report

certify: $(STAMP) | $(call asked,export serve) ## measure the load generator itself (ALLOW_HOST=gpu1: it is asked one golden request)
	@$(RUN) -m loadtest certify $(SERVED) $(HOSTS)

report: $(STAMP) | $(call asked,loadtest slo) ## judge the newest results again and write the report
	@$(RUN) -m report

history: $(STAMP) | $(call asked,loadtest slo report) ## draw how the figures changed over the stored reports
	@$(RUN) -m report history

verdict: $(STAMP) | $(call asked,loadtest slo report) ## the gate: fail unless the newest verdict is PASS
	@$(RUN) -m report --verdict

roll: $(STAMP) | $(call asked,export serve) ## serve newer exports instead of older ones, without a gap (USE=tuned.toml)
	@$(RUN) -m serving roll $(STAGE) $(if $(USE),--use $(USE))

status: $(STAMP) | $(call asked,serve) ## tell what runs
	@$(RUN) -m serving status

stop: $(STAMP) | $(call asked,export serve loadtest slo scale report history verdict status) ## stop what was started
	@$(RUN) -m serving stop

image: ## build the images (IMAGES="triton tfserving export"; BASE=… PIP_INDEX_URL=… in a closed network)
	@set -e; $(foreach name,$(IMAGES),$(BUILD) $(ARGS_$(name)) -f docker/$(name).Dockerfile -t loadproof/$(name):$(VERSION) .;)

up: $(STAMP) | $(call asked,image export) ## start servers, load workers and dashboards in containers and prove them (PROFILE="cpu observe", WORKERS=n, REGISTRY=registry.example.com)
	@$(if $(filter-out cpu gpu observe,$(or $(strip $(PROFILE)),none)),echo "error: PROFILE is '$(PROFILE)'; it is cpu or gpu and perhaps observe" >&2; exit 2)
	@docker info >/dev/null 2>&1 && $(COMPOSE) version >/dev/null 2>&1 \
	  || { echo "error: no Docker engine answers 'docker info', or there is no compose; start or install them (Debian: docker.io docker-compose)" >&2; exit 3; }
ifneq ($(filter cpu gpu,$(PROFILE)),)
	@$(if $(REGISTRY),,$(foreach name,$(IMAGES),docker image inspect loadproof/$(name):$(VERSION) >/dev/null 2>&1 \
	  || { echo "error: there is no image loadproof/$(name):$(VERSION); run 'make image', or name a REGISTRY that has it" >&2; exit 2; };))
	@$(RUN) -m serving stop >/dev/null
	@$(RUN) -m serving repository $(STAGE)
endif
	@$(STACK) $(PROFILE:%=--profile %) up --detach $(if $(WORKERS),--scale $(WORKER)=$(WORKERS)) \
	  || { $(STACK) logs --tail 20; echo "error: not everything is up; images of an older checkout are made anew by 'make image', 'make down' removes what was started" >&2; exit 3; }
ifneq ($(filter cpu gpu,$(PROFILE)),)
	@$(RUN) -m serving up $(STAGE) --triton $(TRITON_AT) --tfserving $(TFSERVING_AT) --tfserving-ours
endif
ifneq ($(filter observe,$(PROFILE)),)
	@echo "dashboard  $(call at,http,GRAFANA,3000)    rules and alerts  $(call at,http,PROMETHEUS,9090)"
endif

inside: $(STAMP) | $(call asked,up) ## put the containers under load by their own workers and write the report (WORKERS=n, LOADTEST="--plan soak")
	@mkdir -p results && { [ "$$(id -u)" != 0 ] || chown 10001:10001 results; }
	@RUN_AS=$$([ "$$(id -u)" = 0 ] && echo 10001:10001 || echo "$$(id -u):$$(id -g)") WORKERS=$(or $(WORKERS),1) LOADTEST="$(LOADTEST)" \
	  $(STACK) run --rm --use-aliases load
	@$(RUN) -m report

down: $(STAMP) | $(call asked,up inside) ## stop and remove the containers; what Prometheus and Grafana keep stays
	@$(RUN) -m serving stop
	@$(STACK) --profile cpu --profile gpu --profile observe down

deploy: $(STAMP) | $(call asked,slo report stop) ## write what the newest report recommends as an overlay of k8s/ (MODEL=name FLAGS="--rate 500")
	@$(RUN) -m serving deploy --config $(CONFIG) $(if $(MODEL),--model $(MODEL)) $(FLAGS)

check: $(STAMP) ## format, lint, types, architecture
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy contract zoo export serving loadtest report tune tests bench bootstrap.py
	@$(RUN) -m pytest -q tests/test_architecture.py

format: $(STAMP) ## let ruff format the code and mend what it can
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

# A file's tests stay together: what its fixtures start is started once. Those that measure time have the machine for themselves.
test: $(STAMP) | $(call asked,check loadtest) ## the tests, with real servers, without the slow ones (14 minutes on two cores)
	@$(RUN) -m pytest -q -m "not slow and not alone" -n 2 --dist loadfile
	@$(RUN) -m pytest -q -m "alone and not slow"

test-all: $(STAMP) | $(call asked,check loadtest) ## every test, the slow ones and the containers too (43 minutes on two cores)
	@$(RUN) -m pytest -q -m "not alone" -n 3 --dist loadfile
	@$(RUN) -m pytest -q -m alone

test-gpu: $(STAMP) ## the suite for a machine with a GPU and NVIDIA's Triton; fails on a CPU
	@$(RUN) -m pytest -q tests/gpu

bench: $(STAMP) ## what the export costs over the bare framework calls (GROUP=name)
	@$(RUN) -m bench.export --config $(CONFIG) --group $(GROUP)

clean: | $(call asked,stop) ## remove artifacts, results and reports (not the environment, trained models, certificates, tuned.toml, k8s/rendered/)
	rm -rf artifacts live results reports model_repository/triton model_repository/tfserving
