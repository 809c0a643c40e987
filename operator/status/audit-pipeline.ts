import { isDeepStrictEqual } from "node:util";
import type {
  AuditPipeline,
  AuditPipelineStatus,
  InventoryItem,
  SinkStatus,
  TeardownPlanItem,
} from "../../crds/v1alpha1/audit-pipeline.ts";
import type { ConditionType } from "../../crds/v1alpha1/conditions.ts";
import type { Month } from "../desired/postgres-month.ts";
import { isSuspended } from "../desired/sink-input.ts";
import type { SinkNames } from "../desired/sink-names.ts";
import type { TeardownItem } from "../plan/sink-teardown.ts";
import {
  blockedConditions,
  componentFinding,
  type Finding,
  nextConditions,
  type Report,
  reportOf,
  summary,
} from "./conditions.ts";

/** What a pass found out about the topic a pipeline reads. */
export interface TopicInUse {
  readonly name: string;
  readonly topicName: string;
  readonly topicId: string;
  readonly deadLetterTopic?: string;
  /** Made by the operator, so that its first record has the broker's time already. */
  readonly isOwn: boolean;
}

/** What a pass found out about one sink. Absent members are unknown, not empty. */
export interface SinkFinding {
  readonly name: string;
  readonly names: SinkNames;
  readonly store: Report;
  readonly credentials: Report;
  readonly workload: Report;
  readonly flow: Report;
  readonly ledger?: {
    readonly database: string;
    readonly schema: string;
    readonly months: readonly Month[];
    readonly nextDropMs?: number | undefined;
  };
  readonly readerSecret: boolean;
  /** RFC 3339. */
  readonly credentialsIssuedAt?: string;
  readonly replicas: number;
  readonly readyReplicas?: number;
  readonly lag?: number;
  readonly inventory?: readonly InventoryItem[];
  /** What a deletion would do now. */
  readonly teardown?: readonly TeardownItem[];
  /** Changed by hand in the store and left so. */
  readonly drift?: readonly string[];
}

export interface PipelineOutcome {
  readonly requeueAfterMs?: number;
  readonly topic?: TopicInUse;
  readonly topicReport: Report;
  /** Why the sinks have nothing to log in to Kafka with. Absent: they have, or need nothing. */
  readonly kafkaCredential?: Report;
  /** The sinks' own, and since when (RFC 3339) it has its password. */
  readonly kafkaUser?: { readonly name: string; readonly issuedAt: string } | undefined;
  readonly sinks: readonly SinkFinding[];
  /** Otherwise a lag alone is not worth a write. */
  readonly mayTellLag: boolean;
  /** Sinks that left the spec and are not torn down yet. */
  readonly removed?: Report;
  /** What a deletion would do to the topic now. Absent: not looked at. */
  readonly teardown?: readonly TeardownItem[];
  /** What all sinks share. Absent: not looked at. */
  readonly inventory?: readonly InventoryItem[];
}

/** One condition for each component, and `Ready` over all of them. A lag that moves alone is told only where it may be. */
export function pipelineStatus(pipeline: AuditPipeline, outcome: PipelineOutcome, now: string): AuditPipelineStatus {
  const next = fullStatus(pipeline, outcome, now);
  const present = pipeline.status;
  if (present === undefined || outcome.mayTellLag) return next;
  return isDeepStrictEqual(withoutLag(next), withoutLag(present)) ? present : next;
}

const withoutLag = ({ sinks = [], ...status }: AuditPipelineStatus) => ({
  ...status,
  sinks: sinks.map(({ lag: _moves, ...sink }) => sink),
});

function fullStatus(pipeline: AuditPipeline, outcome: PipelineOutcome, now: string): AuditPipelineStatus {
  const { topic, topicReport, kafkaCredential, sinks, removed } = outcome;
  const components: readonly (readonly [ConditionType, readonly Report[]])[] = [
    ["TopicsReady", [topicReport]],
    ["StoresReady", sinks.map(({ store }) => store)],
    [
      "CredentialsReady",
      [...(kafkaCredential ? [kafkaCredential] : []), ...sinks.map(({ credentials }) => credentials)],
    ],
    ["WorkloadsReady", [...sinks.map(({ workload }) => workload), ...(removed ? [removed] : [])]],
    ["FlowHealthy", sinks.map(({ flow }) => flow)],
  ];
  const reports = components.flatMap(([, found]) => found);
  const findings = [
    ...summary(reports, "Events flow from the topic into every sink"),
    ...components.map(([type, found]) => componentFinding(type, found)),
    ...suspension(pipeline),
    ...driftFinding(sinks),
  ];
  return {
    observedGeneration: pipeline.metadata.generation,
    conditions: nextConditions(pipeline.status?.conditions, findings, {
      generation: pipeline.metadata.generation,
      now,
    }),
    ...(topic === undefined
      ? optional("topic", pipeline.status?.topic)
      : { topic: { name: topic.name, topicName: topic.topicName, topicId: topic.topicId } }),
    ...optional("kafka", kafkaAfter(pipeline, outcome)),
    sinks: sinks.map((sink) =>
      sinkStatus(
        sink,
        pipeline.status?.sinks?.find(({ name }) => name === sink.name),
      ),
    ),
    inventory: inventoryAfter(pipeline, outcome),
    teardownPlan: teardownPlanAfter(pipeline, outcome),
  };
}

function kafkaAfter({ status }: AuditPipeline, { kafkaUser, kafkaCredential, topic }: PipelineOutcome) {
  if (kafkaUser !== undefined) return { user: kafkaUser.name, credentialsIssuedAt: kafkaUser.issuedAt };
  return kafkaCredential === undefined && topic !== undefined ? undefined : status?.kafka;
}

const suspension = ({ spec }: AuditPipeline): Finding[] =>
  isSuspended(spec)
    ? [{ type: "Suspended", status: "True", reason: "Suspended", message: "No sink runs; records wait in the topic" }]
    : [];

const BY_HAND: readonly string[] = ["SchemaDrift", "UnexpectedPrivilege"];

function driftFinding(sinks: readonly SinkFinding[]): Finding[] {
  const found = sinks.flatMap(({ name, store, drift = [] }) => [
    ...drift.map((what) => ({ reason: "DriftReported" as const, what: `sink ${name}: ${what}` })),
    ...(store.kind === "Stalled" && BY_HAND.includes(store.reason)
      ? [{ reason: store.reason, what: `sink ${name}: ${store.message}` }]
      : []),
  ]);
  const [first] = found;
  if (first === undefined) return [];
  const message = found.map(({ what }) => what).join("; ");
  return [{ type: "DriftDetected", status: "True", reason: first.reason, message: message.slice(0, 32_768) }];
}

/** What was made stays in the inventory until it is seen to be gone: a server that is away, or a sink on its way out, hides nothing. */
function inventoryAfter({ status }: AuditPipeline, { inventory, sinks, removed }: PipelineOutcome): InventoryItem[] {
  const before = status?.inventory ?? [];
  const leaving = before.filter(({ sink }) => sink !== undefined && !sinks.some(({ name }) => name === sink));
  return [
    ...(inventory ?? before.filter(({ sink }) => sink === undefined)),
    ...sinks.flatMap(({ name, inventory: seen }) => seen ?? before.filter(({ sink }) => sink === name)),
    ...(removed === undefined ? [] : leaving),
  ];
}

/** As last seen, for what this pass could not look at. */
function teardownPlanAfter({ status }: AuditPipeline, { teardown, sinks }: PipelineOutcome): TeardownPlanItem[] {
  const before = status?.teardownPlan ?? [];
  const planned = (items: readonly TeardownItem[], sink?: string) =>
    items.map(
      ({ kind, name, action, reason }): TeardownPlanItem => ({
        ...{ kind, name, action: action === "Deleted" ? "Delete" : "Retain", reason: reason.slice(0, 1_024) },
        ...optional("sink", sink),
      }),
    );
  return [
    ...sinks.flatMap(({ name, teardown: seen }) =>
      seen ? planned(seen, name) : before.filter(({ sink }) => sink === name),
    ),
    ...(teardown ? planned(teardown) : before.filter(({ sink }) => sink === undefined)),
  ];
}

/** The status after a pass that got nowhere: what was known stays. */
export function failedPipelineStatus(pipeline: AuditPipeline, error: unknown, now: string): AuditPipelineStatus {
  const { generation } = pipeline.metadata;
  const previous = pipeline.status?.conditions ?? [];
  const findings = summary([reportOf(error)], "");
  const rest = previous.filter(({ type }) => !["Ready", "Reconciling", "Stalled"].includes(type));
  return {
    ...pipeline.status,
    observedGeneration: generation,
    conditions: [...nextConditions(previous, findings, { generation, now }), ...rest],
  };
}

/** The status while a deletion waits. */
export function blockedPipelineStatus(pipeline: AuditPipeline, error: unknown, now: string): AuditPipelineStatus {
  const { generation } = pipeline.metadata;
  return {
    ...pipeline.status,
    observedGeneration: generation,
    conditions: blockedConditions(pipeline.status?.conditions, error, { generation, now }),
  };
}

/** What this pass did not see (a back-end away) stays as it was last seen. */
function sinkStatus(sink: SinkFinding, before: SinkStatus | undefined): SinkStatus {
  const { names, ledger } = sink;
  return {
    name: sink.name,
    ready: [sink.store, sink.credentials, sink.workload, sink.flow].every(
      ({ kind }) => kind === "Ok" || kind === "Suspended",
    ),
    replicas: sink.replicas,
    ...optional("readyReplicas", sink.readyReplicas),
    ...optional("lag", sink.lag),
    consumerGroup: names.consumerGroup,
    ...optional("credentialsIssuedAt", sink.credentialsIssuedAt ?? before?.credentialsIssuedAt),
    ...(ledger === undefined
      ? optional("postgres", before?.postgres)
      : {
          postgres: {
            database: ledger.database,
            schema: ledger.schema,
            secrets: { writer: names.writerSecret, ...(sink.readerSecret ? { reader: names.readerSecret } : {}) },
            partitions: { ...span(ledger.months), ...optional("nextDrop", dayOf(ledger.nextDropMs)) },
          },
        }),
  };
}

const dayOf = (ms: number | undefined) => (ms === undefined ? undefined : new Date(ms).toISOString().slice(0, 10));

function span(months: readonly Month[]): { first?: string; last?: string } {
  const texts = months.map(({ year, month }) => `${year}-${String(month).padStart(2, "0")}`).sort();
  const first = texts[0];
  const last = texts.at(-1);
  return { ...optional("first", first), ...optional("last", last) };
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}
