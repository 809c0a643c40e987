import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { hostname } from "node:os";
import { collectDefaultMetrics, Registry } from "@prometheus-io/client";
import type { Logger } from "pino";
import { ANNOTATIONS } from "../../crds/v1alpha1/shared.ts";
import { loadOperatorConfig, type OperatorConfig } from "../config.ts";
import { FIELD_MANAGER } from "../controllers/field-manager.ts";
import type { Connection } from "../kubernetes/connect.ts";
import { kubernetesStore } from "../kubernetes/kubernetes-store.ts";
import { runElected } from "../kubernetes/leader-election.ts";
import { configMapReceipts } from "../kubernetes/receipts.ts";
import { serveHealth } from "../runtime/health-server.ts";
import { controllerMetrics } from "../runtime/metrics.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import { type RunningController, runController } from "../runtime/run-controller.ts";
import type { MakeControllers } from "./controllers.ts";
import { Failure } from "./failure.ts";
import { connection as connect } from "./open-cluster.ts";
import { operatorLog, warnOfMissingBackends } from "./operator-log.ts";
import type { OperatorFlags } from "./program.ts";
import { asFailure } from "./standalone.ts";

/** Runs until SIGTERM or SIGINT; a second signal ends it at once. A lost lease ends the process with an error. */
export async function runOperator(flags: OperatorFlags, makeControllers: MakeControllers): Promise<void> {
  const connection = connect(flags);
  try {
    const clusterId = await clusterIdOf(connection);
    const config = loadOperatorConfig(flags.config, process.env, clusterId === undefined ? {} : { clusterId });
    if (clusterId === undefined && config.clusterId === "standalone") {
      throw new Failure(
        "clusterId: the uid of the namespace kube-system could not be read; allow get on it, or say a clusterId in the configuration, and never change it",
        2,
      );
    }
    await serve(config, connection, makeControllers);
  } finally {
    await connection.api.close();
  }
}

/** The leader's controllers, while there are any. */
interface Leading {
  controllers: readonly RunningController[];
}

async function serve(config: OperatorConfig, { api }: Connection, makeControllers: MakeControllers): Promise<void> {
  const log = operatorLog(config);
  const onError = (error: unknown) => log.warn({ err: error }, "Event not written");
  const store = kubernetesStore({ api, fieldManager: FIELD_MANAGER, namespaces: config.watchNamespaces, onError });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const leading: Leading = { controllers: [] };
  const health = await serveHealth({
    ...{ ...config.admin, registry },
    alive: () => leading.controllers.every((controller) => controller.alive()),
    // A replica that waits for the lease is as ready as it can be.
    ready: () => leading.controllers.every((controller) => controller.synced()),
  }).catch((error: unknown) => {
    throw asFailure(error, config);
  });
  const stopping = new AbortController();
  void untilSignal(log).then(() => stopping.abort());
  warnOfMissingBackends(config, log);
  const lead = (signal: AbortSignal) => work(config, store, registry, log, leading, makeControllers, signal);
  try {
    await elected(config, store, log, stopping.signal, lead);
  } finally {
    await health.close();
  }
  log.info("Stopped");
}

async function elected(
  config: OperatorConfig,
  store: ObjectStore,
  log: Logger,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { enabled, leaseName: name } = config.leaderElection;
  if (!enabled) return lead(signal);
  const identity = `${process.env["POD_NAME"] ?? hostname()}_${randomUUID()}`;
  return runElected({ store, namespace: config.namespace, name, identity, log, signal }, lead);
}

/** The controllers, until the signal is aborted and the passes under way have ended. */
async function work(
  config: OperatorConfig,
  store: ObjectStore,
  registry: Registry,
  log: Logger,
  leading: Leading,
  makeControllers: MakeControllers,
  signal: AbortSignal,
): Promise<void> {
  const { reconcilers, close } = makeControllers(config, configMapReceipts(store, config.namespace));
  const { concurrency, watchNamespaces: namespaces } = config;
  const metrics = controllerMetrics(registry);
  try {
    leading.controllers = reconcilers.map((reconciler) =>
      runController(reconciler, {
        ...{ store, log, signal, pausedAnnotation: ANNOTATIONS.paused, concurrency, namespaces },
        metrics: metrics(reconciler.kind.toLowerCase(), concurrency),
      }),
    );
    log.info({ kinds: reconcilers.map(({ kind }) => kind), namespaces }, "Operator is running");
    await Promise.all(leading.controllers.map(({ stopped }) => stopped));
  } finally {
    leading.controllers = [];
    await close();
  }
}

async function untilSignal(log: Logger): Promise<void> {
  const signal = await Promise.race(["SIGTERM", "SIGINT"].map((name) => once(process, name).then(() => name)));
  process.once("SIGTERM", () => process.exit(1)).once("SIGINT", () => process.exit(1));
  log.info({ signal }, "Stopping");
}

/** The uid of kube-system names a cluster. Without the right to read it, the configuration has to say a clusterId. */
async function clusterIdOf({ api }: Connection): Promise<string | undefined> {
  const path = "/api/v1/namespaces/kube-system";
  const found = await api.request<KubeObject>({ method: "GET", path }).catch(() => undefined);
  return found?.metadata.uid;
}
