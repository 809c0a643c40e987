import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import type { Refusal } from "./plan.ts";

/** What stands in COMMENT on what is ours. */
export interface Marker extends LedgerIdentity {
  readonly state: "Owned" | "Released";
  /** On a login: the fingerprint of the password it has. */
  readonly credential?: string;
  /** It was there before the operator took it over. */
  readonly adopted?: true;
  /** On the owner role: the fingerprint of what the ledger was when everything was in place. */
  readonly settled?: string;
  /** On a login: since when it has that password, in RFC 3339. */
  readonly issuedAt?: string;
  /** On a login: the rotation that was asked for when it got that password (`Rotation.request`). */
  readonly request?: string;
}

/** `Foreign`: without a marker, or with another's. */
export type Ownership = "Ours" | "Released" | "Former" | "Foreign";

/**
 * Released is ours to take back under the same cluster, namespace and name, whatever the uid and the sink were. Former is
 * the same with nobody having released it: a name stands for one resource at a time, so the one of the other uid is gone,
 * and its finalizer was taken off by hand.
 */
export function ownership(marker: Marker | undefined, identity: LedgerIdentity): Ownership {
  if (marker === undefined) return "Foreign";
  const sameResource =
    marker.clusterId === identity.clusterId && marker.namespace === identity.namespace && marker.name === identity.name;
  if (!sameResource) return "Foreign";
  if (marker.state === "Released") return "Released";
  if (marker.uid !== identity.uid) return "Former";
  return marker.sink === identity.sink ? "Ours" : "Foreign";
}

/** What a teardown may touch: nothing of a former self that this resource never took back. */
export function isOwn(marker: Marker | undefined, identity: LedgerIdentity): boolean {
  const found = ownership(marker, identity);
  return found === "Ours" || found === "Released";
}

export type AdoptionPolicy = "Never" | "IfIdentical" | "Always";

/**
 * What a policy lets us take over: what bears no marker, and what another resource of the namespace has released. What
 * another namespace retained is its audit trail still: no tenant's policy reaches it.
 */
export function mayAdopt(marker: Marker | undefined, identity: LedgerIdentity, policy: AdoptionPolicy): boolean {
  if (policy === "Never") return false;
  return marker === undefined || (marker.state === "Released" && marker.namespace === identity.namespace);
}

/** Whether a resource that is not being deleted may have the object. */
export const mayHave = (marker: Marker | undefined, identity: LedgerIdentity, policy: AdoptionPolicy): boolean =>
  ownership(marker, identity) !== "Foreign" || mayAdopt(marker, identity, policy);

export const ownedBy = (identity: LedgerIdentity): Marker => ({ ...identity, state: "Owned" });

/** The envelope keeps the marker apart from what else people write into comments. */
export const markerText = ({ clusterId, namespace, name, uid, sink, state, ...rest }: Marker): string =>
  JSON.stringify({ auditPipeline: { clusterId, namespace, name, uid, sink, state, ...rest } });

const LOGIN_FIELDS = ["credential", "issuedAt", "request"] as const;

/** Of a login's marker, what goes with its password. */
export function loginPart(
  marker: { readonly [K in (typeof LOGIN_FIELDS)[number]]?: unknown },
): Pick<Marker, (typeof LOGIN_FIELDS)[number]> {
  return Object.fromEntries(
    LOGIN_FIELDS.flatMap((field) => (typeof marker[field] === "string" ? [[field, marker[field]]] : [])),
  );
}

/** Undefined for a comment that is no marker: then the object is nobody's that we know. */
export function parseMarker(comment: string | null): Marker | undefined {
  if (comment === null) return undefined;
  const envelope = parseJson(comment);
  if (!isRecord(envelope) || !isRecord(envelope["auditPipeline"])) return undefined;
  const { clusterId, namespace, name, uid, sink, state, adopted, settled, ...login } = envelope["auditPipeline"];
  if (typeof clusterId !== "string" || typeof namespace !== "string" || typeof name !== "string") return undefined;
  if (typeof uid !== "string" || typeof sink !== "string") return undefined;
  if (state !== "Owned" && state !== "Released") return undefined;
  return {
    ...{ clusterId, namespace, name, uid, sink, state },
    ...loginPart(login),
    ...(adopted === true && { adopted }),
    ...(typeof settled === "string" && { settled }),
  };
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
 * which only a schema is ours. Anything else is a refusal. `mayTake` judges the markers.
 */
export function databaseOwnership(
  names: LedgerNames,
  identity: LedgerIdentity,
  observed: ObservedDatabase,
  mayTake: (marker: Marker | undefined) => boolean = (marker) => isOwn(marker, identity),
): "Ours" | "SchemaOnly" | Conflict {
  const { owner, marker, ownerMarker } = observed;
  if (owner === names.owner) {
    return mayTake(ownerMarker) ? "Ours" : conflict("Database", names.database, ownerMarker, identity);
  }
  if (isOwn(marker, identity)) return givenAway("Database", names.database, owner, names.owner);
  const isMarked = marker !== undefined || ownerMarker !== undefined;
  if (isMarked) return conflict("Database", names.database, marker ?? ownerMarker, identity);
  return names.databaseGiven ? "SchemaOnly" : notNamed(names.database);
}

/** A refusal that says which object stands in the way. */
export interface Conflict extends Refusal {
  readonly object: "Role" | "Database" | "Schema";
  readonly name: string;
}

const refuse = (object: Conflict["object"], name: string, what: string): Conflict => ({
  reason: `${object}Conflict`,
  object,
  name,
  message: `${object} ${JSON.stringify(name)} ${what}`,
});

/** Says who owns it, as far as the reader may know: of another namespace's resource not even the name. */
export function conflict(
  object: Conflict["object"],
  name: string,
  marker: Marker | undefined,
  identity: LedgerIdentity,
): Conflict {
  if (marker === undefined) {
    const fix = "choose another name, let adoptionPolicy take it over, or drop it if nobody needs it";
    return refuse(object, name, `exists and was not made by this operator: ${fix}`);
  }
  if (marker.namespace !== identity.namespace) {
    const fix = "choose another name; the platform team finds whose it is in the object's COMMENT";
    return refuse(object, name, `belongs to a resource of another namespace: ${fix}`);
  }
  const cluster = marker.clusterId === identity.clusterId ? "" : ` of cluster ${JSON.stringify(marker.clusterId)}`;
  const owner = `AuditPipeline ${marker.namespace}/${marker.name} (sink ${marker.sink})${cluster}`;
  if (marker.state === "Released") {
    const fix = "choose another name, or let adoptionPolicy take it over";
    return refuse(object, name, `was retained when ${owner} was deleted: ${fix}`);
  }
  const fix = `choose another name, or, if that resource is gone, set "state":"Released" in the object's COMMENT`;
  return refuse(object, name, `belongs to ${owner}: ${fix}`);
}

/** Ours by its marker, and somebody else's by its owner: only that one can give it back. */
function givenAway(object: "Database" | "Schema", name: string, owner: string, to: string): Conflict {
  const statement = `ALTER ${object.toUpperCase()} ${JSON.stringify(name)} OWNER TO ${JSON.stringify(to)}`;
  return refuse(
    object,
    name,
    `was given to role ${JSON.stringify(owner)} by hand; as that role or a superuser: ${statement}`,
  );
}

const notNamed = (database: string) =>
  refuse(
    "Database",
    database,
    "exists and was not made by this operator: name it in postgres.database to have a schema in it, choose another name, or drop it if nobody needs it",
  );

/** An existing schema: ours by its owner, or one that the policy may give to our owner. */
export function schemaConflict(
  names: LedgerNames,
  identity: LedgerIdentity,
  { owner, marker }: { readonly owner: string; readonly marker: Marker | undefined },
  policy: AdoptionPolicy,
): Conflict | undefined {
  if (owner === names.owner) return undefined;
  if (isOwn(marker, identity)) return givenAway("Schema", names.schema, owner, names.owner);
  return mayAdopt(marker, identity, policy) ? undefined : conflict("Schema", names.schema, marker, identity);
}
