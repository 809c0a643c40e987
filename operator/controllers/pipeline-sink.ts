import type { AuditPipeline, InventoryItem, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { parseDurationMs } from "../../crds/v1alpha1/shared.ts";
import type { KafkaBackend } from "../config.ts";
import type { KafkaAccess } from "../desired/sink-files.ts";
import { isSuspended } from "../desired/sink-input.ts";
import { sinkBacklogs, sinkLag } from "../desired/sink-lag.ts";
import { type SinkNames, sinkNames } from "../desired/sink-names.ts";
import { WaitingError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import { readCa } from "../external/postgres-ca.ts";
import { planTeardown } from "../plan/postgres-teardown.ts";
import { sinkTeardown } from "../plan/sink-teardown.ts";
import type { Tools } from "../runtime/controller.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import type { SinkFinding, TopicInUse } from "../status/audit-pipeline.ts";
import type { Report, Trouble } from "../status/conditions.ts";
import type { Attempts } from "./attempts.ts";
import type { Deps } from "./deps.ts";
import { type FlowWatch, LOOK_AGAIN_MS } from "./flow-watch.ts";
import { leaveFormerPlace } from "./former-sinks.ts";
import { ledgerPlace } from "./ledger-place.ts";
import { credentialsIssuedAt, rotateLogins, watchOverlap } from "./rotate-logins.ts";
import { ensureLedger, proveCredentials, type ReachablePlace, type ReadyLedger } from "./sink-ledger.ts";
import { retireMonths } from "./sink-retention.ts";
import { ROLLOUT_LOOK_MS, suspended } from "./sink-rollout.ts";
import { policyOf } from "./sink-teardown.ts";
import { ensureWorkload } from "./sink-workload.ts";

const PROVEN = "The writer can write and do no more";

interface SinkStep {
  readonly pipeline: AuditPipeline;
  readonly sink: SinkSpec;
  readonly names: SinkNames;
  /** Absent while the topic is not there: the ledger is made all the same. */
  readonly topic: TopicInUse | undefined;
  readonly broker: { readonly backend: KafkaBackend; readonly kafka: Kafka } | undefined;
  readonly flows: FlowWatch;
  /** How its pods reach the brokers, or why they cannot. */
  readonly kafka: { readonly value: KafkaAccess } | { readonly report: Trouble };
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
    replicas: isSuspended(pipeline.spec) ? 0 : pipeline.spec.workload.replicas,
  };
  const full = { ...step, names };

  const placed = await attempts.run(async () => {
    await leaveFormerPlace(pipeline, sink, step.broker?.kafka.groups, tools, deps);
    return reachablePlace(pipeline, sink, tools.store, deps);
  });
  if ("report" in placed) return { ...base, store: placed.report, ...allWaiting("StoresReady", placed.report) };
  const place = placed.value;
  const made = await attempts.run(async () => {
    const oldestRecordMs = await oldestRecord(full);
    const input = { pipeline, sink, names, place, oldestRecordMs };
    return { input, ready: await ensureLedger(input, tools, deps) };
  });
  if ("report" in made) return { ...base, store: made.report, ...allWaiting("StoresReady", made.report) };
  const { input } = made.value;
  const ledger = { database: place.ledger.database, schema: place.ledger.schema, months: made.value.ready.months };
  const found = {
    ...base,
    store: ok(`${ledger.database}.${ledger.schema}`),
    ledger,
    drift: made.value.ready.drift,
  };

  const proven = await attempts.run(async () => {
    await proveCredentials(input, made.value.ready, tools);
    return rotateLogins(input, made.value.ready, tools, deps);
  });
  if ("report" in proven) {
    const waiting = waitingFor("CredentialsReady", proven.report);
    return {
      ...found,
      ...seen(pipeline, sink, made.value.ready),
      credentials: proven.report,
      workload: waiting,
      flow: waiting,
    };
  }
  const ready = proven.value;
  const { kafka } = step;
  if ("report" in kafka) {
    // What runs goes on with what it has.
    const flow = await attempts.run(() => measureFlow(full, ready));
    const waiting = waitingFor("CredentialsReady", kafka.report);
    const flowing = "report" in flow ? flow.report : flow.value.report;
    return { ...found, ...seen(pipeline, sink, ready), credentials: ok(PROVEN), workload: waiting, flow: flowing };
  }
  const workload = await attempts.run(() => ensureWorkload(full, kafka.value, ready, tools, deps));
  if ("value" in workload) {
    const { report } = workload.value;
    attempts.note(report, report.kind === "Waiting" ? ROLLOUT_LOOK_MS : undefined);
  }
  const overlap = await attempts.run(() => watchOverlap(ready));
  if ("value" in overlap && overlap.value !== undefined) {
    attempts.note(OVERLAP, Math.min(overlap.value, parseDurationMs(pipeline.spec.interval)));
  }
  // Last: it may take long, and nothing waits for it.
  const retired = await attempts.run(() => retireMonths({ pipeline, sink, access: ready.access }, tools, deps));
  const flow = await attempts.run(() => measureFlow(full, ready));
  if ("value" in flow) attempts.note(flow.value.report, flow.value.lookAgainMs);
  return {
    ...found,
    // A reader who holds up a drop is no trouble of the store's; a drop that only a person can decide about is.
    ...("report" in retired && retired.report.kind !== "Waiting" ? { store: retired.report } : {}),
    ...("value" in retired ? { ledger: { ...ledger, nextDropMs: retired.value.nextDropMs } } : {}),
    ...seen(pipeline, sink, ready),
    credentials: "report" in overlap ? overlap.report : ok(PROVEN),
    workload: "report" in workload ? workload.report : workload.value.report,
    ...("value" in workload ? { replicas: workload.value.replicas, readyReplicas: workload.value.readyReplicas } : {}),
    flow: "report" in flow ? flow.report : flow.value.report,
    ...("value" in flow ? { lag: flow.value.lag } : {}),
  };
}

const OVERLAP: Report = { kind: "Ok", message: "" };

const seen = (pipeline: AuditPipeline, sink: SinkSpec, ready: ReadyLedger) => {
  const issuedAt = credentialsIssuedAt(ready);
  const { identity, ledger } = ready.place;
  const teardown = planTeardown(ledger, identity, ready.observed, policyOf(pipeline, sink, ready.place));
  return {
    teardown: sinkTeardown(pipeline, sink, teardown),
    inventory: inventoryOf(sink, ready),
    ...(issuedAt === undefined ? {} : { credentialsIssuedAt: issuedAt }),
  };
};

async function reachablePlace(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  store: ObjectStore,
  deps: Deps,
): Promise<ReachablePlace> {
  const place = ledgerPlace(pipeline, sink, store, deps);
  return { ...place, ca: await readCa(place.backend) };
}

async function oldestRecord({ topic, broker }: SinkStep): Promise<number | undefined> {
  // Elsewhere a producer may have chosen it; a month that is found missing is asked for by the sink.
  if (topic?.isOwn !== true || broker === undefined) return undefined;
  // A broker that does not answer is the topic's trouble; a month found missing later is asked for by the sink.
  return broker.kafka.topics.earliestRecordTime(topic.topicName).catch(() => undefined);
}

/** How many records are not stored yet, by what the ledger itself says, and whether they become fewer. */
async function measureFlow({ pipeline, sink, topic, broker, flows }: SinkStep, ready: ReadyLedger) {
  if (topic === undefined || broker === undefined) throw new WaitingError("LagUnknown", "The topic is not there yet");
  const { topics } = broker.kafka;
  const { topicName, topicId } = topic;
  const [starts, ends] = await Promise.all([topics.startOffsets(topicName), topics.endOffsets(topicName)]);
  const log = { topicId, starts, ends };
  const lag = sinkLag(ready.progress, log);
  if (isSuspended(pipeline.spec)) {
    flows.forgetSink(pipeline.metadata, sink.name);
    return { lag, report: suspended("Unknown") };
  }
  const backlogs = sinkBacklogs(ready.progress, log);
  const report = flows.judge(pipeline.metadata, sink.name, {
    backlogs,
    flushIntervalMs: parseDurationMs(sink.delivery.flushInterval),
    wanted: wantedMonths(ready.progress, topicId),
    months: ready.months,
  });
  return { lag, report, ...(backlogs.length === 0 ? {} : { lookAgainMs: LOOK_AGAIN_MS }) };
}

const wantedMonths = (progress: ReadyLedger["progress"], topicId: string) =>
  progress.flatMap(({ topicId: id, partition, wantedMonth: month }) =>
    id === topicId && month !== undefined ? [{ partition, month }] : [],
  );

function inventoryOf(
  sink: SinkSpec,
  { ownsDatabase, isAdopted, observed, place: { ledger } }: ReadyLedger,
): InventoryItem[] {
  const { database, roles } = sink.deletionPolicy;
  const item = (kind: string, name: string, policy: "Retain" | "Delete"): InventoryItem => ({
    kind,
    name,
    ownership: isAdopted ? "Adopted" : "Created",
    policy,
    sink: sink.name,
  });
  return [
    ownsDatabase
      ? item("PostgresDatabase", ledger.database, database)
      : item("PostgresSchema", `${ledger.database}.${ledger.schema}`, database),
    item("PostgresRole", ledger.owner, database),
    item("PostgresRole", ledger.writer, roles),
    item("PostgresRole", ledger.reader, database),
    ...(observed.roles.otherWriter ? [item("PostgresRole", ledger.otherWriter, roles)] : []),
    ...(observed.roles.otherReader ? [item("PostgresRole", ledger.otherReader, database)] : []),
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
