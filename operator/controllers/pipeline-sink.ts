import type { AuditPipeline, InventoryItem, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaBackend } from "../config.ts";
import { desiredSinkConfig } from "../desired/sink-config.ts";
import { sinkLag } from "../desired/sink-lag.ts";
import { type SinkNames, sinkNames } from "../desired/sink-names.ts";
import { desiredWorkload } from "../desired/sink-workload.ts";
import { WaitingError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import { credentialFingerprint } from "../external/scram.ts";
import type { Tools } from "../runtime/controller.ts";
import type { KubeObject } from "../runtime/object-store.ts";
import type { SinkFinding, TopicInUse } from "../status/audit-pipeline.ts";
import type { Report, Trouble } from "../status/conditions.ts";
import type { Attempts } from "./attempts.ts";
import type { Deps } from "./deps.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import { ensureLedger, type LedgerPlace, ledgerPlace, proveCredentials, type ReadyLedger } from "./sink-ledger.ts";

interface SinkStep {
  readonly pipeline: AuditPipeline;
  readonly sink: SinkSpec;
  readonly names: SinkNames;
  /** Absent while the topic is not there: the ledger is made all the same. */
  readonly topic: TopicInUse | undefined;
  readonly broker: { readonly backend: KafkaBackend; readonly kafka: Kafka } | undefined;
}

/** Ledger, credentials, workload, flow: one sink, each step with a report of its own. */
export async function ensureSink(
  step: Omit<SinkStep, "names">,
  tools: Tools<AuditPipeline>,
  deps: Deps,
  attempts: Attempts,
): Promise<SinkFinding> {
  const { pipeline, sink } = step;
  const names = sinkNames(pipeline.metadata, sink.name);
  const base = {
    name: sink.name,
    names,
    readerSecret: sink.postgres.roles.reader.login,
    replicas: pipeline.spec.workload.replicas,
  };
  const full = { ...step, names };

  const placed = await attempts.run(async () => ledgerPlace(pipeline, sink, deps));
  if ("report" in placed) return { ...base, store: placed.report, ...allWaiting("StoresReady", placed.report) };
  const place = placed.value;
  const made = await attempts.run(async () => {
    const oldestRecordMs = await oldestRecord(full);
    const input = { pipeline, sink, names, place, oldestRecordMs };
    return { input, ready: await ensureLedger(input, tools, deps) };
  });
  if ("report" in made) return { ...base, store: made.report, ...allWaiting("StoresReady", made.report) };
  const { input, ready } = made.value;
  const ledger = { database: place.ledger.database, schema: place.ledger.schema, months: ready.months };
  const found = {
    ...base,
    store: ok(`${ledger.database}.${ledger.schema}`),
    ledger,
    inventory: inventoryOf(sink, place, ready),
  };

  const proven = await attempts.run(() => proveCredentials(input, ready, tools));
  if ("report" in proven) {
    const waiting = waitingFor("CredentialsReady", proven.report);
    return { ...found, credentials: proven.report, workload: waiting, flow: waiting };
  }
  const workload = await attempts.run(() => ensureWorkload(full, place, ready, tools, deps));
  const flow = await attempts.run(() => measureFlow(full, ready));
  return {
    ...found,
    credentials: ok("The writer can write and do no more"),
    workload: "report" in workload ? workload.report : workload.value.report,
    ...("value" in workload ? { readyReplicas: workload.value.readyReplicas } : {}),
    flow: "report" in flow ? flow.report : ok(""),
    ...("value" in flow ? { lag: flow.value } : {}),
  };
}

async function oldestRecord({ topic, broker }: SinkStep): Promise<number | undefined> {
  if (topic === undefined || broker === undefined) return undefined;
  // A broker that does not answer is the topic's trouble; a month found missing later is asked for by the sink.
  return broker.kafka.topics.earliestRecordTime(topic.topicName).catch(() => undefined);
}

/** @throws WaitingError while the topic is not known: a sink without one would only wait in its place. */
async function ensureWorkload(
  { pipeline, sink, names, topic, broker }: SinkStep,
  place: LedgerPlace,
  ready: ReadyLedger,
  { store }: Tools<AuditPipeline>,
  { config }: Deps,
) {
  if (topic === undefined || broker === undefined)
    throw new WaitingError("DependencyNotReady", "The topic is not there yet");
  const { namespace, name, uid } = pipeline.metadata;
  const objects = desiredWorkload({
    pipeline: { namespace, name, uid },
    spec: pipeline.spec,
    sink,
    names,
    image: config.sink.image,
    credential: credentialFingerprint(ready.passwords.writer),
    config: desiredSinkConfig({
      pipeline: { namespace, name },
      spec: pipeline.spec,
      sink,
      topic,
      kafka: broker.backend,
      postgres: place.backend,
      ledger: place.ledger,
      consumerGroup: names.consumerGroup,
    }),
  });
  let deployment: Deployment | undefined;
  for (const object of objects) deployment = await store.apply<Deployment>(object, { fieldManager: FIELD_MANAGER });
  return {
    report: rolloutReport(deployment, pipeline.spec.workload.replicas),
    readyReplicas: deployment?.status?.readyReplicas ?? 0,
  };
}

interface Deployment extends KubeObject {
  status?: { observedGeneration?: number; updatedReplicas?: number; readyReplicas?: number; replicas?: number };
}

function rolloutReport(deployment: Deployment | undefined, wanted: number): Report {
  const { observedGeneration = 0, updatedReplicas = 0, readyReplicas = 0 } = deployment?.status ?? {};
  const seen = observedGeneration >= (deployment?.metadata.generation ?? 0);
  if (seen && updatedReplicas === wanted && readyReplicas === wanted)
    return ok(`${readyReplicas} of ${wanted} pods ready`);
  return {
    kind: "Waiting",
    reason: "PodsNotReady",
    message: `${readyReplicas} of ${wanted} pods of ${deployment?.metadata.name ?? "the sink"} are ready`,
  };
}

/** How many records are not stored yet, by what the ledger itself says. */
async function measureFlow({ topic, broker }: SinkStep, ready: ReadyLedger): Promise<number> {
  if (topic === undefined || broker === undefined) throw new WaitingError("LagUnknown", "The topic is not there yet");
  const { topics } = broker.kafka;
  const [starts, ends] = await Promise.all([topics.startOffsets(topic.topicName), topics.endOffsets(topic.topicName)]);
  return sinkLag(ready.progress, { topicId: topic.topicId, starts, ends });
}

function inventoryOf(sink: SinkSpec, { ledger }: LedgerPlace, { ownsDatabase }: ReadyLedger): InventoryItem[] {
  const { database, roles } = sink.deletionPolicy;
  const item = (kind: string, name: string, policy: "Retain" | "Delete"): InventoryItem => ({
    kind,
    name,
    ownership: "Created",
    policy,
    sink: sink.name,
  });
  return [
    ...(ownsDatabase ? [item("PostgresDatabase", ledger.database, database)] : []),
    item("PostgresSchema", `${ledger.database}.${ledger.schema}`, database),
    item("PostgresRole", ledger.owner, database),
    item("PostgresRole", ledger.writer, roles),
    item("PostgresRole", ledger.reader, database),
  ];
}

const ok = (message: string): Report => ({ kind: "Ok", message });

const waitingFor = (component: string, cause: Trouble): Report => ({
  kind: "Waiting",
  reason: cause.reason,
  message: `Waits for ${component}: ${cause.message}`,
});

const allWaiting = (component: string, cause: Trouble) => {
  const waiting = waitingFor(component, cause);
  return { credentials: waiting, workload: waiting, flow: waiting };
};
