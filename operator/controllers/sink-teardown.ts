import type { AuditPipeline, SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { ANNOTATIONS } from "../../crds/v1alpha1/shared.ts";
import type { LedgerNames } from "../desired/postgres-names.ts";
import { sinkSelector } from "../desired/sink-labels.ts";
import { type SinkNames, sinkNames } from "../desired/sink-names.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { KafkaGroups } from "../external/kafka-group.ts";
import type { PostgresLedger } from "../external/postgres-ledger.ts";
import { type LedgerAction, type ObservedLedger, OTHER_ROLES, ROLES } from "../plan/postgres-ledger.ts";
import { planTeardown, type TeardownPolicy } from "../plan/postgres-teardown.ts";
import { ledgerItems, POSITION_OF_RECORD, secretItems } from "../plan/sink-teardown.ts";
import type { Tools } from "../runtime/controller.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import type { Deps } from "./deps.ts";
import { type LedgerPlace, ledgerPlace } from "./ledger-place.ts";
import { deleteOwn } from "./own-objects.ts";
import { addToReceipt, type Settled } from "./pipeline-receipt.ts";
import { ledgerAccess } from "./sink-ledger.ts";
import { mayOrphan } from "./teardown-deadline.ts";

type PipelineTools = Tools<AuditPipeline>;

/** They hold nothing and name nobody, so no receipt tells of them. */
const aroundPods = ({ service, workload }: SinkNames) => [
  { kind: "Service", name: service },
  { kind: "PodDisruptionBudget", name: workload },
  { kind: "NetworkPolicy", name: workload },
];

/** @throws WaitingError while pods are left: nothing they use is taken away under them. */
export async function stopSink(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  { store }: PipelineTools,
  deps: Deps,
): Promise<void> {
  const { namespace } = pipeline.metadata;
  const names = sinkNames(pipeline.metadata, sink.name);
  const { workload } = names;
  const stopped = await deleteOwn(pipeline, sink.name, { kind: "Deployment", namespace, name: workload }, store);
  const pods = await store.list("Pod", { namespace, labels: sinkSelector(pipeline.metadata, sink.name) });
  if (stopped === "Deleted" && pods.items.length > 0) {
    throw new WaitingError("Progressing", `${pods.items.length} pods of ${workload} are still ending`, {
      requeueAfterMs: 500,
    });
  }
  for (const part of aroundPods(names)) await deleteOwn(pipeline, sink.name, { namespace, ...part }, store);
  const account = await deleteOwn(pipeline, sink.name, { kind: "ServiceAccount", namespace, name: workload }, store);
  await addToReceipt(
    pipeline,
    [cluster("Deployment", workload, stopped), cluster("ServiceAccount", workload, account)],
    deps,
  );
}

/**
 * Takes down what a stopped sink used: its consumer group, its ledger by policy, its Secrets by policy, and last the
 * ConfigMap that holds its spec. Every step can be repeated, and is in the receipt before the next one begins.
 */
export async function settleSink(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  groups: KafkaGroups | undefined,
  tools: PipelineTools,
  deps: Deps,
): Promise<void> {
  const { namespace } = pipeline.metadata;
  const names = sinkNames(pipeline.metadata, sink.name);
  await addToReceipt(pipeline, [await deleteGroup(names.consumerGroup, groups)], deps);
  await addToReceipt(pipeline, await settleLedger(pipeline, sink, tools, deps), deps);
  await addToReceipt(pipeline, await settleSecrets(pipeline, sink, tools), deps);
  // The receipt first: once the ConfigMap is gone, nothing finds this sink again.
  const config = { kind: "ConfigMap", namespace, name: names.config };
  await addToReceipt(pipeline, [cluster(config.kind, config.name, "Deleted")], deps);
  await deleteOwn(pipeline, sink.name, config, tools.store);
}

/** Where each partition stands is in the ledger: a group that cannot be deleted now is no loss, and expires by itself. */
async function deleteGroup(name: string, groups: KafkaGroups | undefined): Promise<Settled> {
  const item = { kind: "ConsumerGroup", name };
  if (groups === undefined)
    return {
      ...item,
      action: "Orphaned",
      reason: "its topic or Kafka back-end is not known any more; an empty group expires",
    };
  try {
    await groups.delete(name);
    return { ...item, action: "Deleted", reason: POSITION_OF_RECORD };
  } catch (error) {
    if (error instanceof WaitingError && error.reason === "GroupNotEmpty") throw error;
    return { ...item, action: "Orphaned", reason: "Kafka did not delete it; an empty group expires by itself" };
  }
}

const CONFLICTS = new Set(["DatabaseConflict", "SchemaConflict", "RoleConflict"]);

/** What belongs to somebody else, or cannot be found any more, never holds up a deletion: it stays, and the receipt says why. */
async function settleLedger(
  pipeline: AuditPipeline,
  sink: SinkSpec,
  tools: PipelineTools,
  deps: Deps,
): Promise<readonly Settled[]> {
  const place = placeOf(pipeline, sink, tools.store, deps);
  if (place instanceof StalledError) return knownItems(pipeline, sink, "Orphaned", place.message);
  try {
    const access = ledgerAccess(place, deps);
    const observed = await access.observe();
    const plan = planTeardown(place.ledger, place.identity, observed, policyOf(pipeline, sink, place));
    const orphaned = await applyAll(plan.actions, { ledger: place.ledger, observed }, access, tools);
    return ledgerItems(plan).map((item) => orphaned.get(item.name) ?? item);
  } catch (error) {
    // Said at the very edge, by the marker of the object itself.
    if (error instanceof StalledError && CONFLICTS.has(error.reason))
      return knownItems(pipeline, sink, "Retained", error.message);
    if (!(error instanceof WaitingError)) throw error;
    if (keepsEverything(sink))
      return knownItems(
        pipeline,
        sink,
        "Retained",
        `by policy; ${error.message}, so nothing there says it was released`,
      );
    mayOrphan(pipeline, error, deps);
    return knownItems(pipeline, sink, "Orphaned", error.message);
  }
}

/** A role that PostgreSQL will not drop is released like one that is retained. Answers these, by name. */
async function applyAll(
  actions: readonly LedgerAction[],
  { ledger, observed: { roles } }: { ledger: LedgerNames; observed: ObservedLedger },
  access: PostgresLedger,
  { log, recordEvent }: PipelineTools,
): Promise<Map<string, Settled>> {
  const orphaned = new Map<string, Settled>();
  for (const action of actions) {
    log.info({ action: action.kind }, "Applying action");
    try {
      await access.apply(action);
    } catch (error) {
      if (!(error instanceof StalledError && error.reason === "Orphaned" && "role" in action)) throw error;
      const { role: name } = action;
      const marker = [...ROLES, ...OTHER_ROLES]
        .map((role) => (ledger[role] === name ? roles[role]?.marker : undefined))
        .find(Boolean);
      if (marker !== undefined) {
        await access.apply({ kind: "MarkReleased", object: "Role", name, marker: { ...marker, state: "Released" } });
      }
      orphaned.set(name, { kind: "PostgresRole", name, action: "Orphaned", reason: error.message });
      await recordEvent({ type: "Warning", reason: "Orphaned", action: "Delete", note: error.message.slice(0, 1_024) });
    }
  }
  return orphaned;
}

/** What the pipeline, the sink and the platform say together. */
export function policyOf(
  { metadata }: AuditPipeline,
  { deletionPolicy: { database, roles } }: SinkSpec,
  { backend }: LedgerPlace,
): TeardownPolicy {
  const { annotations, name } = metadata;
  const confirmed = annotations?.[ANNOTATIONS.confirmDelete] === name;
  const unless = backend.allowDelete
    ? `the annotation ${ANNOTATIONS.confirmDelete}: ${name} is missing`
    : `back-end ${backend.name} has allowDelete: false`;
  return { database, roles, mayDestroy: confirmed && backend.allowDelete, unless };
}

const keepsEverything = ({ deletionPolicy: { database, roles } }: SinkSpec) =>
  database === "Retain" && roles === "Retain";

/** The ledger's place, or why it cannot be found: a back-end the platform took away, a name it no longer allows. */
function placeOf(pipeline: AuditPipeline, sink: SinkSpec, store: ObjectStore, deps: Deps): LedgerPlace | StalledError {
  try {
    return ledgerPlace(pipeline, sink, store, deps);
  } catch (error) {
    if (error instanceof StalledError) return error;
    throw error;
  }
}

/** What status says was made for the sink. Nothing, if it never came so far. */
const knownItems = ({ status }: AuditPipeline, sink: SinkSpec, action: Settled["action"], reason: string): Settled[] =>
  (status?.inventory ?? [])
    .filter((item) => item.sink === sink.name)
    .map(({ kind, name }) => ({ kind, name, action, reason }));

async function settleSecrets(pipeline: AuditPipeline, sink: SinkSpec, { store }: PipelineTools): Promise<Settled[]> {
  const { namespace } = pipeline.metadata;
  const items: Settled[] = [];
  for (const item of secretItems(pipeline, sink)) {
    const { kind, name } = item;
    const done =
      item.action === "Retained" ? "Kept" : await deleteOwn(pipeline, sink.name, { kind, namespace, name }, store);
    items.push(done === "LeftAlone" ? cluster(kind, name, done) : item);
  }
  return items;
}

const cluster = (kind: string, name: string, done: "Deleted" | "LeftAlone"): Settled =>
  done === "Deleted"
    ? { kind, name, action: "Deleted", reason: "it goes with its sink" }
    : { kind, name, action: "Retained", reason: "it is not this sink's, and was left alone" };
