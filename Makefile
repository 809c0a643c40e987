# Every target, with what it does: make help
.DEFAULT_GOAL := help
.PHONY: help setup demo test soak soak-all lint format generate verify servers-up servers-down clean mutants crash-sweep bench-sink images \
  cli cluster-up cluster-down e2e bench-cli

run := hack/node.sh

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: ## Get Node 24, the npm dependencies, Kafka and PostgreSQL, where they are not there yet
	@hack/setup.sh

demo: setup ## From manifests to rows and back to nothing, on real servers (KEEP=1 leaves all running)
	@KEEP='$(KEEP)' KAFKA_BOOTSTRAP_SERVERS='$(KAFKA_BOOTSTRAP_SERVERS)' POSTGRES_ADMIN_URL='$(POSTGRES_ADMIN_URL)' \
	  $(run) node hack/demo.ts

test: setup lint ## Check the code, then run every test on real servers
	@$(run) vitest run

soak: setup ## Streams under random faults for MINUTES (default 30); SEED repeats one. Fails on one event lost, doubled or altered
	@$(run) node test/faults/run.ts --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

soak-all: soak crash-sweep ## The soak, the crash sweep, and every test that has a size, large: a night on two cores
	@SEED=$(or $(SEED),$(shell date +%s)) STREAM_EVENTS=200000 STREAM_FAULTS=16 QUICK_FAULTS=10 HOSTILE_BODIES=20000 TAMPER_ATTEMPTS=1000 FUZZ_RUNS=1000000 \
	  MUTATIONS=0 ROTATIONS=20 ROTATION_CRASH_STEP=1 $(run) vitest run test/stream test/faults test/hostile test/tamper \
	  test/fuzz test/tenancy test/sweep test/operator/rotation.test.ts operator/controllers/rotate-logins.test.ts

lint: setup ## Format, types, code rules, import direction, unused code and dependencies
	@$(run) hack/lint.sh

format: setup ## Rewrite the code in the one format, and fix what lint can fix by itself
	@$(run) oxlint --fix --quiet >/dev/null || true
	@$(run) biome check --write

generate: setup ## Rewrite the files that are generated from the schemas
	@$(run) node hack/generate-crds.ts
	@$(run) node test/tenancy/render.ts

verify: generate lint ## Fail where a generated file is not as its source says, or a check of the code finds something
	@git diff --exit-code -- crds docs charts || { echo "Generated files differ. Commit what make generate wrote." >&2; exit 1; }

servers-up: setup ## Start Kafka and PostgreSQL and leave them running; .servers/env says where
	@$(run) node hack/servers/up.ts

servers-down: ## Stop what this clone left running, and remove its data
	@$(run) node hack/servers/down.ts

images: setup ## Build the images of operator and sink, with buildah and without a registry (BASE names another base)
	@BASE='$(BASE)' $(run) node hack/images/build.ts

cli: setup ## Write the command line to dist/bin, bundled, and as a kubectl plugin: put that folder into the PATH
	@$(run) node hack/build-cli.ts

cluster-up: setup ## Start a Kubernetes of one node, with Kafka and PostgreSQL, and leave it running (as root; docs/cluster.md)
	@$(run) node hack/cluster/up.ts

cluster-down: ## Stop that cluster, and remove all of it
	@$(run) node hack/cluster/down.ts

e2e: setup images ## The operator on a real Kubernetes: the contract of its port, then an install and a pipeline by kubectl (as root)
	@$(run) vitest run --config test/kubernetes/vitest.config.ts
	@$(run) vitest run --config test/install/vitest.config.ts
	@$(run) node hack/cluster/isolated.ts vitest run --config test/e2e/vitest.config.ts

clean: ## Stop and remove everything this clone made, except the downloads it shares with others
	@if $(run) true 2>/dev/null; then $(run) node hack/cluster/down.ts; node hack/servers/down.ts --all; fi
	@rm -rf .servers node_modules hack/node/node_modules

mutants: setup ## Break the code on purpose, one way at a time, and see the tests notice
	@$(run) node test/mutants/run.ts

crash-sweep: setup ## Kill the operator at every write it makes anywhere, and compare the end with the undisturbed one
	@$(run) node test/sweep/run.ts $(if $(POINTS),--points $(POINTS)) $(if $(SWEEP_MINUTES),--minutes $(SWEEP_MINUTES)) $(if $(SEED),--seed $(SEED))

bench-sink: setup ## Measure the sink beside what PostgreSQL allows (EVENTS, ROUNDS, SEED, BYTES; docs/benchmarks.md)
	@$(run) node hack/bench-sink.ts

bench-cli: setup ## Measure how long the bundled command line takes, on a standalone and on an API server (ROUNDS)
	@$(run) node hack/bench-cli.ts
