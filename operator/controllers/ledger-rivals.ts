import { z } from "zod";
import { AUDIT_PIPELINE, type AuditPipeline, type SinkSpec } from "../../crds/v1alpha1/audit-pipeline.ts";
import { sink as sinkSchema } from "../../crds/v1alpha1/pipeline-sink.ts";
import { StalledError } from "../errors.ts";
import { isOlder } from "../plan/topic-rivals.ts";
import type { Key } from "../runtime/controller.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import type { Deps } from "./deps.ts";
import { type LedgerPlace, ledgerPlace } from "./ledger-place.ts";

/**
 * Before a ledger is made: of two pipelines that would make the same one, the older does. What is made already is its
 * owner's by its marker, however old anybody is.
 *
 * @throws StalledError DatabaseConflict
 */
export async function yieldToOlder(
  pipeline: AuditPipeline,
  place: LedgerPlace,
  databaseExists: boolean,
  store: ObjectStore,
  deps: Deps,
): Promise<void> {
  const { items } = await store.list<AuditPipeline>(AUDIT_PIPELINE.kind);
  const older = items.find(
    (other) =>
      other.metadata.uid !== pipeline.metadata.uid &&
      other.metadata.deletionTimestamp === undefined &&
      isOlder(other.metadata, pipeline.metadata) &&
      placesOf(other, store, deps).some((claimed) => isSame(claimed, place, databaseExists)),
  );
  if (older === undefined) return;
  const { namespace, name } = older.metadata;
  const who = namespace === pipeline.metadata.namespace ? `AuditPipeline ${name}` : "a resource of another namespace";
  throw new StalledError(
    "DatabaseConflict",
    `Database ${JSON.stringify(place.ledger.database)} is claimed by ${who}, which is older: choose another name, or delete the other resource`,
  );
}

/** Those that stand back from an object of a pipeline that is going or gone. */
export async function waitingPipelines(changed: KubeObject, store: ObjectStore): Promise<Key[]> {
  const { namespace, name, uid } = changed.metadata;
  const present = await store.get<AuditPipeline>({ kind: AUDIT_PIPELINE.kind, namespace, name });
  if (present?.metadata.uid === uid && present.metadata.deletionTimestamp === undefined) return [];
  const { items } = await store.list<AuditPipeline>(AUDIT_PIPELINE.kind);
  return items.filter(isHeldBack).map(({ metadata }) => metadata);
}

const isHeldBack = ({ status }: AuditPipeline) =>
  status?.conditions?.some(({ type, reason }) => type === "StoresReady" && CONFLICTS.includes(reason)) === true;

const CONFLICTS: readonly string[] = ["DatabaseConflict", "SchemaConflict", "RoleConflict"];

/** Where there is no database yet, whoever makes it has all of it. Two back-ends of one address are one server. */
function isSame(one: LedgerPlace, other: LedgerPlace, databaseExists: boolean): boolean {
  const [a, b] = [one.backend, other.backend];
  // A connection of one's own may name anybody's server, with a login that is refused there.
  if (a.inline !== undefined && a.inline.id !== b.inline?.id) return false;
  if (a.host !== b.host || a.port !== b.port || one.ledger.database !== other.ledger.database) return false;
  return !databaseExists || one.ledger.schema === other.ledger.schema;
}

/** Nobody has checked the specs of others: what nothing can be made from claims nothing, and stops no neighbour. */
function placesOf(pipeline: AuditPipeline, store: ObjectStore, deps: Deps): readonly LedgerPlace[] {
  const { data } = z.object({ sinks: z.array(z.unknown()) }).safeParse(pipeline.spec);
  return (data?.sinks ?? []).flatMap((each) => {
    const { data: sink } = sinkSchema.safeParse(each);
    return sink === undefined ? [] : (placeOf(pipeline, sink, store, deps) ?? []);
  });
}

function placeOf(pipeline: AuditPipeline, sink: SinkSpec, store: ObjectStore, deps: Deps): LedgerPlace | undefined {
  try {
    return ledgerPlace(pipeline, sink, store, deps);
  } catch (error) {
    if (error instanceof StalledError) return undefined;
    throw error;
  }
}
