import type { LedgerRole, OtherRole } from "../desired/postgres-ledger.ts";
import { isSecond, type LedgerIdentity, type LedgerNames } from "../desired/postgres-names.ts";
import type { Plan } from "./plan.ts";
import { findConflicts, type LedgerAction, type ObservedLedger } from "./postgres-ledger.ts";
import { type Conflict, databaseOwnership, isOwn, type Marker } from "./postgres-ownership.ts";

export interface TeardownPolicy {
  readonly database: "Retain" | "Delete";
  /** The writer's logins; owner and reader stay as long as the database. */
  readonly roles: "Retain" | "Delete";
  /** The annotation confirm-delete names the resource, and the back-end allows deletes: else the database is kept. */
  readonly mayDestroy: boolean;
  /** Why it may not, for people. */
  readonly unless?: string | undefined;
}

/** For the receipt and the inventory. */
export interface LedgerItem {
  readonly kind: "PostgresDatabase" | "PostgresSchema" | "PostgresRole";
  readonly name: string;
  readonly action: "Deleted" | "Retained";
  readonly reason: string;
}

export interface TeardownPlan extends Plan<LedgerAction> {
  readonly items: readonly LedgerItem[];
  /** Objects by our names that are somebody else's: left as they are, and no reason to hold up the deletion. */
  readonly leftAlone: readonly Conflict[];
}

/**
 * The workloads must be stopped before. Repeatable: what is gone or released already needs no action, and stands among
 * the items all the same. What is not ours by its marker is left alone: nothing here is ever refused.
 */
export function planTeardown(
  names: LedgerNames,
  identity: LedgerIdentity,
  observed: ObservedLedger,
  policy: TeardownPolicy,
): TeardownPlan {
  const destroys = policy.database === "Delete" && policy.mayDestroy;
  const target: Target = { names, identity, observed };
  const steps = [...settleWriter(target, policy, destroys), ...(destroys ? destroy(target) : retain(target, policy))];
  return {
    actions: [...useOwner(target), ...steps.flatMap(({ action }) => (action === undefined ? [] : [action]))],
    refusals: [],
    leftAlone: findConflicts(names, identity, observed, (marker) => isOwn(marker, identity), "Never"),
    items: steps.map(({ item }) => item),
  };
}

/** A login that was there before us goes only where somebody has confirmed a deletion. */
function settleWriter(target: Target, policy: TeardownPolicy, destroys: boolean): Step[] {
  const logins = ["writer", "otherWriter"] as const;
  if (destroys) return logins.flatMap((login) => dropRole(target, login));
  if (policy.roles === "Retain") return releaseRoles(target, logins, "deletionPolicy.roles is Retain");
  return logins.flatMap((login) =>
    target.observed.roles[login]?.marker?.adopted === true && !policy.mayDestroy
      ? releaseRoles(target, [login], `it was adopted, and ${policy.unless ?? UNCONFIRMED}`)
      : dropRole(target, login),
  );
}

const UNCONFIRMED = "the deletion is not confirmed, or not allowed here";

/** Where another admin made the roles, ours must be let act as the owner first. */
function useOwner({ names, identity, observed }: Target): LedgerAction[] {
  const { owner } = observed.roles;
  if (owner === undefined || owner.usable || !isOwn(owner.marker, identity)) return [];
  return [{ kind: "UseRole", role: names.owner }];
}

interface Target {
  readonly names: LedgerNames;
  readonly identity: LedgerIdentity;
  readonly observed: ObservedLedger;
}

interface Step {
  readonly action?: LedgerAction;
  readonly item: LedgerItem;
}

/** In a database of the platform only the schema is ours to drop. */
function destroy(target: Target): Step[] {
  const { database, schema } = target.names;
  const data: Step[] =
    databaseIs(target) === "SchemaOnly"
      ? dropSchema(target, schema, deleted("PostgresSchema", `${database}.${schema}`))
      : databaseIs(target) === "Foreign"
        ? []
        : [
            {
              item: deleted("PostgresDatabase", database),
              ...(databaseIs(target) === "Ours" && { action: { kind: "DropDatabase", database } }),
            },
          ];
  // The reader first: its sessions would hold the database, and only who may act as a role may end them.
  return [...dropRole(target, "reader"), ...dropRole(target, "otherReader"), ...data, ...dropRole(target, "owner")];
}

function retain(target: Target, { database: policy, unless = UNCONFIRMED }: TeardownPolicy): Step[] {
  const { database, schema } = target.names;
  const reason =
    policy === "Retain" ? "deletionPolicy.database is Retain" : `deletionPolicy.database is Delete, but ${unless}`;
  const schemaMarker = schemaIsOurs(target) ? target.observed.schema?.marker : undefined;
  const databaseMarker = databaseIs(target) === "Ours" ? target.observed.database?.marker : undefined;
  const lost = databaseIs(target) === "Gone" ? [{ item: gone("PostgresDatabase", database) }] : [];
  return [
    ...lost,
    ...release("Schema", schema, schemaMarker, retained("PostgresSchema", `${database}.${schema}`, reason)),
    ...release("Database", database, databaseMarker, retained("PostgresDatabase", database, reason)),
    // The owner last: a database is ours by its owner's marker.
    ...releaseRoles(target, ["reader", "otherReader", "owner"], "it stays as long as the database"),
  ];
}

/** Gone already counts as deleted; a schema of somebody else is not among the items. */
function dropSchema(target: Target, schema: string, item: LedgerItem): Step[] {
  if (target.observed.schema === undefined) return [{ item }];
  return schemaIsOurs(target) ? [{ item, action: { kind: "DropSchema", schema } }] : [];
}

function dropRole({ names, identity, observed }: Target, kind: LedgerRole | OtherRole): Step[] {
  const role = names[kind];
  const found = observed.roles[kind];
  const item = deleted("PostgresRole", role);
  if (found === undefined) return isSecond(role) ? [] : [{ item }];
  if (!isOwn(found.marker, identity)) return [];
  return [{ item, action: { kind: kind === "owner" ? "DropRole" : "DropLogin", role } }];
}

function releaseRoles(
  { names, identity, observed }: Target,
  kinds: readonly (LedgerRole | OtherRole)[],
  reason: string,
): Step[] {
  return kinds.flatMap((kind) => {
    const found = observed.roles[kind];
    if (found === undefined) return isSecond(names[kind]) ? [] : [{ item: gone("PostgresRole", names[kind]) }];
    if (!isOwn(found.marker, identity)) return [];
    return release("Role", names[kind], found.marker, retained("PostgresRole", names[kind], reason));
  });
}

function release(
  object: "Role" | "Database" | "Schema",
  name: string,
  found: Marker | undefined,
  item: LedgerItem,
): Step[] {
  if (found === undefined) return [];
  if (found.state === "Released") return [{ item }];
  return [{ item, action: { kind: "MarkReleased", object, name, marker: { ...found, state: "Released" } } }];
}

function databaseIs({ names, identity, observed }: Target): "Ours" | "SchemaOnly" | "Foreign" | "Gone" {
  if (observed.database === undefined) return "Gone";
  const found = databaseOwnership(names, identity, observed.database);
  return typeof found === "object" ? "Foreign" : found;
}

const schemaIsOurs = ({ names, observed }: Target) => observed.schema?.owner === names.owner;

const deleted = (kind: LedgerItem["kind"], name: string): LedgerItem => ({
  kind,
  name,
  action: "Deleted",
  reason: "deletionPolicy is Delete",
});

/** Of what was to be kept. What was to go may have gone in a try that was cut short: nobody can tell, and it is as wanted. */
const gone = (kind: LedgerItem["kind"], name: string): LedgerItem => ({
  kind,
  name,
  action: "Deleted",
  reason: "it was not there",
});

const retained = (kind: LedgerItem["kind"], name: string, reason: string): LedgerItem => ({
  kind,
  name,
  action: "Retained",
  reason,
});
