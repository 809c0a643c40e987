import { AUDIT_PIPELINE, type AuditPipeline, type SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { ANNOTATIONS } from "../../crds/v1alpha1/shared.ts";
import { PIPELINE_LABEL, SINK_LABEL, sinkSelector } from "../desired/sink-labels.ts";
import { type SinkNames, sinkNames } from "../desired/sink-names.ts";
import { SINK_SPEC } from "../desired/sink-workload.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { KafkaGroups } from "../external/kafka-group.ts";
import type { ReceiptItem } from "../external/receipts.ts";
import { planTeardown } from "../plan/postgres-teardown.ts";
import type { Tools } from "../runtime/controller.ts";
import type { KubeObject } from "../runtime/object-store.ts";
import { type Deps, rfc3339 } from "./deps.ts";
import { type LedgerPlace, ledgerAccess, ledgerPlace } from "./sink-ledger.ts";

type PipelineTools = Tools<AuditPipeline>;

/**
 * Takes one sink down in order: workload, consumer group, ledger, Secrets, and last the ConfigMap that holds its spec.
 * Every step can be repeated, and what became of each object is in the receipt before the next step begins.
 */
export async function teardownSink(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  groups: KafkaGroups | undefined,
  tools: PipelineTools,
  deps: Deps,
): Promise<void> {
  const names = sinkNames(pipeline.metadata, sink.name);
  const note = (items: readonly Omit<ReceiptItem, "at">[]) => addToReceipt(pipeline, items, deps);

  await note(await stopWorkload(pipeline, sink, names, tools));
  await note([await deleteGroup(names.consumerGroup, groups)]);
  await note(await settleLedger(pipeline, sink, tools, deps));
  await note(await settleSecrets(pipeline, sink, names, tools));
  await tools.store.delete({ kind: "ConfigMap", namespace: pipeline.metadata.namespace, name: names.config });
}

/** Sinks whose ConfigMap is still there although the spec names them no more. */
export async function removeFormerSinks(
  pipeline: AuditPipeline,
  tools: PipelineTools,
  deps: Deps,
  groups?: KafkaGroups,
): Promise<void> {
  const { namespace, name } = pipeline.metadata;
  const { items } = await tools.store.list<KubeObject>("ConfigMap", { namespace, labels: { [PIPELINE_LABEL]: name } });
  for (const { metadata } of items) {
    const spec = metadata.annotations?.[SINK_SPEC];
    const known = pipeline.spec.sinks.some((sink) => sink.name === metadata.labels?.[SINK_LABEL]);
    if (spec !== undefined && !known) await teardownSink(pipeline, JSON.parse(spec) as SinkSpec, groups, tools, deps);
  }
}

/** @throws WaitingError while pods are left: nothing they use is taken away under them. */
async function stopWorkload(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  { workload, config }: SinkNames,
  { store }: PipelineTools,
) {
  const { namespace } = pipeline.metadata;
  await store.delete({ kind: "Deployment", namespace, name: workload });
  const pods = await store.list("Pod", { namespace, labels: sinkSelector(pipeline.metadata, sink.name) });
  if (pods.items.length > 0) {
    throw new WaitingError("Progressing", `${pods.items.length} pods of ${workload} are still ending`, {
      requeueAfterMs: 500,
    });
  }
  await store.delete({ kind: "ServiceAccount", namespace, name: workload });
  return [
    { kind: "Deployment", name: workload },
    { kind: "ServiceAccount", name: workload },
    { kind: "ConfigMap", name: config },
  ].map((object) => ({ ...object, action: "Deleted" as const, reason: "the workload goes with its sink" }));
}

/** Where each partition stands is in the ledger: a group that cannot be deleted now is no loss, and expires by itself. */
async function deleteGroup(name: string, groups: KafkaGroups | undefined): Promise<Omit<ReceiptItem, "at">> {
  const item = { kind: "ConsumerGroup", name };
  if (groups === undefined)
    return { ...item, action: "Orphaned", reason: "its Kafka back-end is not known any more; an empty group expires" };
  try {
    await groups.delete(name);
    return { ...item, action: "Deleted", reason: "the position of record is in the ledger" };
  } catch (error) {
    if (error instanceof WaitingError && error.reason !== "KafkaUnreachable") throw error;
    return { ...item, action: "Orphaned", reason: "Kafka did not delete it; an empty group expires by itself" };
  }
}

/**
 * What stands in the way of finding the ledger (a back-end the platform took away, a name it no longer allows) and what
 * belongs to somebody else never holds up a deletion: it is left as it is, and the receipt says why.
 */
async function settleLedger(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  { log }: PipelineTools,
  deps: Deps,
): Promise<Omit<ReceiptItem, "at">[]> {
  const place = placeOf(pipeline, sink, deps);
  if ("orphaned" in place) return place.orphaned;
  const access = ledgerAccess(place, deps);
  const confirmed = pipeline.metadata.annotations?.[ANNOTATIONS.confirmDelete] === pipeline.metadata.name;
  const { database, roles } = sink.deletionPolicy;
  const plan = planTeardown(place.ledger, place.identity, await access.observe(), {
    database,
    roles,
    mayDestroy: confirmed && place.backend.allowDelete,
  });
  for (const action of plan.actions) {
    log.info({ sink: sink.name, database: place.ledger.database, action: action.kind }, "Applying action");
    await access.apply(action);
  }
  return [...plan.items, ...plan.leftAlone.map(({ message }) => orphan(place.ledger.database, message))];
}

function placeOf(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  deps: Deps,
): LedgerPlace | { orphaned: Omit<ReceiptItem, "at">[] } {
  try {
    return ledgerPlace(pipeline, sink, deps);
  } catch (error) {
    if (!(error instanceof StalledError)) throw error;
    const made = pipeline.status?.sinks?.find(({ name }) => name === sink.name)?.postgres?.database;
    return { orphaned: made === undefined ? [] : [orphan(made, error.message)] };
  }
}

const orphan = (name: string, reason: string) => ({
  kind: "PostgresDatabase",
  name,
  action: "Orphaned" as const,
  reason,
});

async function settleSecrets(
  pipeline: AuditPipeline,
  { deletionPolicy }: SinkSpec,
  { writerSecret, readerSecret }: SinkNames,
  { store }: PipelineTools,
) {
  const { namespace } = pipeline.metadata;
  const items: Omit<ReceiptItem, "at">[] = [];
  for (const name of [writerSecret, readerSecret]) {
    const ref = { kind: "Secret", namespace, name };
    if ((await store.get(ref)) === undefined) continue;
    if (deletionPolicy.secrets === "Delete") await store.delete(ref);
    const action = deletionPolicy.secrets === "Delete" ? "Deleted" : "Retained";
    items.push({ kind: "Secret", name, action, reason: `deletionPolicy.secrets is ${deletionPolicy.secrets}` });
  }
  return items;
}

export async function addToReceipt(
  pipeline: AuditPipeline,
  items: readonly Omit<ReceiptItem, "at">[],
  { receipts, now }: Deps,
): Promise<void> {
  const { namespace, name, uid } = pipeline.metadata;
  const at = rfc3339(now());
  if (items.length > 0)
    await receipts.add(
      { kind: AUDIT_PIPELINE.kind, namespace, name, uid },
      items.map((item) => ({ ...item, at })),
    );
}
