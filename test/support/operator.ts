import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Registry } from "@prometheus-io/client";
import { pino } from "pino";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { API_VERSION } from "../../crds/v1alpha1/shared.ts";
import {
  type KafkaBackend,
  loadOperatorConfig,
  type OperatorConfig,
  type PostgresBackend,
} from "../../operator/config.ts";
import type { Receipts } from "../../operator/external/receipts.ts";
import { controllerMetrics } from "../../operator/runtime/metrics.ts";
import type { KubeObject, ObjectStore } from "../../operator/runtime/object-store.ts";
import { admitResource } from "../../operator/standalone/admission.ts";
import { fileReceipts } from "../../operator/standalone/receipts.ts";
import { type Standalone, startStandalone } from "../../operator/standalone/standalone.ts";
import { makeControllers } from "../../operator/wiring.ts";
import type { Pg } from "./servers.ts";

export interface TestServers {
  readonly kafka: Pick<KafkaBackend, "bootstrapServers"> &
    Partial<Pick<KafkaBackend, "tls" | "sasl" | "clientSecretFile">>;
  readonly postgres: TestPostgres;
  /** Further back-ends, by name. */
  readonly morePostgres?: Readonly<Record<string, TestPostgres>>;
  /** Of the configuration, beside the back-ends. */
  readonly settings?: Partial<Pick<OperatorConfig, "inlineConnections" | "inlineAllowedCidrs">>;
}

type TestPostgres = Pick<Pg, "host" | "port" | "admin"> &
  Partial<Pick<PostgresBackend, "sslMode" | "caFile" | "namePrefix">>;

export interface TestOperator {
  readonly stateDir: string;
  readonly store: ObjectStore;
  readonly receipts: Receipts;
  /** Of its PostgreSQL back-end. */
  readonly adminSecretFile: string;
  /** A pass over every resource, as at a resync. */
  resync(): Promise<void>;
  /** Everything the operator logged so far. */
  logged(): string;
  /** What the operator's /metrics answers. */
  metrics(): Promise<string>;
  stop(options?: { leavePods?: boolean }): Promise<void>;
}

/** A folder for one operator's objects, and where its back-ends' secrets lie. */
export const stateFolder = () => mkdtempSync(join(tmpdir(), "audit-pipeline-state-"));

/** A configuration with one back-end of each kind, both named default, and what more is asked for. */
export function writeOperatorConfig({ kafka, postgres, morePostgres = {}, settings }: TestServers): {
  file: string;
  /** Of the back-end named default. */
  adminSecretFile: string;
  remove(): void;
} {
  const folder = mkdtempSync(join(tmpdir(), "audit-pipeline-config-"));
  const file = join(folder, "operator.yaml");
  const secretFileOf = (name: string) => join(folder, `admin-${name}.yaml`);
  const backends = {
    kafka: [{ name: "default", ...kafka }],
    postgres: Object.entries({ default: postgres, ...morePostgres }).map(
      ([name, { admin, sslMode = "Disable", ...server }]) => {
        const adminSecretFile = secretFileOf(name);
        const login = JSON.stringify({ username: admin.user, password: admin.password });
        writeFileSync(adminSecretFile, login, { mode: 0o600 });
        const { host, port, caFile, namePrefix } = server;
        return { name, host, port, sslMode, caFile, namePrefix, adminSecretFile };
      },
    ),
  };
  writeFileSync(
    file,
    JSON.stringify({ clusterId: "test", admin: { host: "127.0.0.1", port: 0 }, backends, ...settings }),
  );
  return {
    file,
    adminSecretFile: secretFileOf("default"),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

const realSink = [resolve(import.meta.dirname, "../../sink/main.ts")];

/** The operator as `standalone` runs it, in this process: real controllers, real servers, sinks as processes. */
export async function startOperator(
  servers: TestServers,
  {
    stateDir = stateFolder(),
    sink = realSink,
    now,
  }: { stateDir?: string; sink?: readonly string[]; now?: () => Date } = {},
): Promise<TestOperator> {
  const { file, adminSecretFile, remove } = writeOperatorConfig(servers);
  const { reconcilers, close } = makeControllers(loadOperatorConfig(file, {}), fileReceipts(stateDir), now);
  const registry = new Registry();
  const lines: string[] = [];
  const write = (line: string) => {
    lines.push(line);
    if (process.env["LOG_LEVEL"] !== undefined) process.stdout.write(line);
  };
  const running: Standalone = await startStandalone({
    stateDir,
    log: pino({ level: process.env["LOG_LEVEL"] ?? "info" }, { write }),
    admit: admitResource,
    reconcilers: () => reconcilers,
    metrics: controllerMetrics(registry),
    commands: { "audit-sink": [process.execPath, ...sink] },
  });

  return {
    stateDir,
    store: running.store,
    receipts: fileReceipts(stateDir),
    adminSecretFile,
    async resync() {
      const kinds = ["AuditTopic", "AuditPipeline"];
      const lists = await Promise.all(kinds.map((kind) => running.store.list(kind)));
      for (const { metadata } of lists.flatMap(({ items }) => items)) {
        for (const controller of running.controllers) controller.wake(metadata);
      }
      await sleep(1_500);
    },
    logged: () => lines.join(""),
    metrics: () => registry.metrics(),
    async stop(options) {
      await running.stop(options);
      await close();
      remove();
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
