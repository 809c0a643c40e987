import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { API_VERSION } from "../../crds/v1alpha1/shared.ts";
import { loadOperatorConfig } from "../../operator/config.ts";
import { auditPipelineReconciler } from "../../operator/controllers/audit-pipeline.ts";
import { auditTopicReconciler } from "../../operator/controllers/audit-topic.ts";
import { connectKafka } from "../../operator/external/connect-kafka.ts";
import { connectPostgres } from "../../operator/external/connect-postgres.ts";
import type { Receipts } from "../../operator/external/receipts.ts";
import type { Outcome, Reconciler, Resource } from "../../operator/runtime/controller.ts";
import type { KubeObject, ObjectStore } from "../../operator/runtime/object-store.ts";
import { admitResource } from "../../operator/standalone/admission.ts";
import { fileReceipts } from "../../operator/standalone/receipts.ts";
import { type Standalone, startStandalone } from "../../operator/standalone/standalone.ts";
import type { Pg } from "./servers.ts";

export interface TestServers {
  readonly kafka: { readonly bootstrapServers: readonly string[] };
  readonly postgres: Pick<Pg, "host" | "port" | "admin">;
}

export interface TestOperator {
  readonly stateDir: string;
  readonly store: ObjectStore;
  readonly receipts: Receipts;
  /** A pass over every resource, as at a resync. */
  resync(): Promise<void>;
  stop(options?: { leavePods?: boolean }): Promise<void>;
}

/** A folder for one operator's objects, and where its back-ends' secrets lie. */
export const stateFolder = () => mkdtempSync(join(tmpdir(), "audit-pipeline-state-"));

/** The operator as `standalone` runs it, in this process: real controllers, real servers, sinks as processes. */
export async function startOperator(
  servers: TestServers,
  {
    stateDir = stateFolder(),
    backends = {},
  }: { stateDir?: string; backends?: { kafka?: object; postgres?: object } } = {},
): Promise<TestOperator> {
  const secret = join(stateDir, "..", `${stateDir.split("/").at(-1)}-admin.yaml`);
  const { user, password } = servers.postgres.admin;
  writeFileSync(secret, JSON.stringify({ username: user, password }), { mode: 0o600 });
  const { host, port } = servers.postgres;
  const file = `${secret}.operator.yaml`;
  const kafkaBackend = { name: "default", bootstrapServers: servers.kafka.bootstrapServers, ...backends.kafka };
  const postgresBackend = {
    name: "default",
    host,
    port,
    sslMode: "Disable",
    adminSecretFile: secret,
    ...backends.postgres,
  };
  writeFileSync(
    file,
    JSON.stringify({ clusterId: "test", backends: { kafka: [kafkaBackend], postgres: [postgresBackend] } }),
  );

  const [kafka, postgres] = [connectKafka(), connectPostgres()];
  const receipts = fileReceipts(stateDir);
  const deps = { config: loadOperatorConfig(file, {}), kafka, postgres, receipts, now: () => new Date() };
  const reconcilers = [auditTopicReconciler(deps), auditPipelineReconciler(deps)];
  const running: Standalone = await startStandalone({
    stateDir,
    log: pino({ level: process.env["LOG_LEVEL"] ?? "silent" }),
    admit: admitResource,
    reconcilers: () => reconcilers as unknown as readonly Reconciler<Resource, Outcome>[],
    commands: { "audit-sink": [process.execPath, resolve(import.meta.dirname, "../../sink/main.ts")] },
  });

  return {
    stateDir,
    store: running.store,
    receipts,
    async resync() {
      const kinds = ["AuditTopic", "AuditPipeline"];
      const lists = await Promise.all(kinds.map((kind) => running.store.list(kind)));
      for (const { metadata } of lists.flatMap(({ items }) => items)) {
        for (const controller of running.controllers) controller.wake(metadata);
      }
      await sleep(1_500);
    },
    async stop(options) {
      await running.stop(options);
      await Promise.all([kafka.close(), postgres.close()]);
      for (const path of [secret, file]) rmSync(path, { force: true });
    },
  };
}

type Spec = Record<string, unknown>;

/** As a user applies it: the store fills in the defaults. */
export const apply = (
  store: ObjectStore,
  kind: "AuditTopic" | "AuditPipeline",
  name: string,
  namespace: string,
  spec: Spec,
  annotations?: Record<string, string>,
) =>
  store.apply<AuditPipeline & AuditTopic>(
    { apiVersion: API_VERSION, kind, metadata: { name, namespace, ...(annotations ? { annotations } : {}) }, spec },
    { fieldManager: "user" },
  );

/** Polls until `found` holds, and says what was seen last when it never does. */
export async function until<T extends KubeObject>(
  store: ObjectStore,
  ref: { kind: string; namespace: string; name: string },
  found: (object: T | undefined) => boolean,
  ms = 60_000,
): Promise<T | undefined> {
  const end = Date.now() + ms;
  for (;;) {
    const object = await store.get<T>(ref);
    if (found(object)) return object;
    if (Date.now() > end) throw new Error(`${ref.kind} ${ref.name} after ${ms} ms: ${JSON.stringify(object, null, 1)}`);
    await sleep(100);
  }
}

type WithStatus = AuditPipeline | AuditTopic;

export const conditionOf = (object: WithStatus | undefined, type: string) =>
  object?.status?.conditions?.find((condition) => condition.type === type);

export const isReady = (object: WithStatus | undefined) =>
  conditionOf(object, "Ready")?.status === "True" && object?.status?.observedGeneration === object?.metadata.generation;
