import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import type { Refusal } from "./plan.ts";

/** What stands in COMMENT on what is ours. `credential`: on a login, the fingerprint of the password it has. */
export interface Marker extends LedgerIdentity {
  readonly state: "Owned" | "Released";
  readonly credential?: string;
}

/** `Foreign`: without a marker, or with another's. */
export type Ownership = "Ours" | "Released" | "Foreign";

/** Released is ours to take back under the same cluster, namespace and name, whatever the uid and the sink were. */
export function ownership(marker: Marker | undefined, identity: LedgerIdentity): Ownership {
  if (marker === undefined) return "Foreign";
  const sameResource =
    marker.clusterId === identity.clusterId && marker.namespace === identity.namespace && marker.name === identity.name;
  if (!sameResource) return "Foreign";
  if (marker.state === "Released") return "Released";
  return marker.uid === identity.uid && marker.sink === identity.sink ? "Ours" : "Foreign";
}

export const ownedBy = (identity: LedgerIdentity): Marker => ({ ...identity, state: "Owned" });

/** The envelope keeps the marker apart from what else people write into comments. */
export const markerText = ({ clusterId, namespace, name, uid, sink, state, credential }: Marker): string =>
  JSON.stringify({
    auditPipeline: { clusterId, namespace, name, uid, sink, state, ...(credential !== undefined && { credential }) },
  });

/** Undefined for a comment that is no marker: then the object is nobody's that we know. */
export function parseMarker(comment: string | null): Marker | undefined {
  if (comment === null) return undefined;
  const envelope = parseJson(comment);
  if (!isRecord(envelope) || !isRecord(envelope["auditPipeline"])) return undefined;
  const { clusterId, namespace, name, uid, sink, state, credential } = envelope["auditPipeline"];
  if (typeof clusterId !== "string" || typeof namespace !== "string" || typeof name !== "string") return undefined;
  if (typeof uid !== "string" || typeof sink !== "string") return undefined;
  if (state !== "Owned" && state !== "Released") return undefined;
  return { clusterId, namespace, name, uid, sink, state, ...(typeof credential === "string" && { credential }) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

export interface ObservedDatabase {
  readonly owner: string;
  readonly marker: Marker | undefined;
  readonly ownerMarker: Marker | undefined;
}

/**
 * `Ours`: the whole database (it belongs to our owner role). `SchemaOnly`: the platform's own, named in the spec, in
 * which only a schema is ours. Anything else is a refusal.
 */
export function databaseOwnership(
  names: LedgerNames,
  identity: LedgerIdentity,
  observed: ObservedDatabase,
): "Ours" | "SchemaOnly" | Conflict {
  const { owner, marker, ownerMarker } = observed;
  if (owner === names.owner) {
    return ownership(ownerMarker, identity) === "Foreign" ? conflict("Database", names.database, ownerMarker) : "Ours";
  }
  const isMarked = marker !== undefined || ownerMarker !== undefined;
  if (isMarked || !names.databaseGiven) return conflict("Database", names.database, marker ?? ownerMarker);
  return "SchemaOnly";
}

/** A refusal that says which object stands in the way. */
export interface Conflict extends Refusal {
  readonly object: "Role" | "Database" | "Schema";
  readonly name: string;
}

export function conflict(kind: Conflict["object"], name: string, marker: Marker | undefined): Conflict {
  const found = { reason: `${kind}Conflict`, object: kind, name };
  const object = `${kind} ${JSON.stringify(name)}`;
  if (marker === undefined) {
    return {
      ...found,
      message: `${object} exists and was not made by this operator: choose another name, or drop it if nobody needs it`,
    };
  }
  const { clusterId, namespace, name: resource, sink, uid } = marker;
  return {
    ...found,
    message: `${object} belongs to ${namespace}/${resource} (sink ${sink}, uid ${uid}, cluster ${clusterId}): choose another name, or, if that resource is gone, set "state":"Released" in the object's COMMENT`,
  };
}
