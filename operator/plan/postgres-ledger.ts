import {
  DATABASE_PRIVILEGES,
  DEFAULT_PRIVILEGES,
  LEDGER_COLUMNS,
  LEDGER_INDEXES,
  LEDGER_RELATIONS,
  type Ledger,
  type LedgerRole,
  ledgerFingerprint,
  type OtherRole,
  ROLE_SETTINGS,
  relationPrivileges,
  SCHEMA_PRIVILEGES,
} from "../desired/postgres-ledger.ts";
import { type Month, monthBounds } from "../desired/postgres-month.ts";
import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import { issuedNow, planRetirements } from "./login-rotation.ts";
import type { Plan, Refusal } from "./plan.ts";
import { differenceOf, isAboutMissing } from "./postgres-differences.ts";
import { type Acl, planGrants, type SetGrants } from "./postgres-grants.ts";
import {
  type Conflict,
  conflict,
  databaseOwnership,
  loginPart,
  type Marker,
  mayAdopt,
  mayHave,
  type ObservedDatabase,
  ownedBy,
  ownership,
  schemaConflict,
} from "./postgres-ownership.ts";

export interface ObservedRole {
  readonly marker: Marker | undefined;
  readonly login: boolean;
  /** Those of `ALTER ROLE … SET`. */
  readonly settings: Readonly<Record<string, string>>;
  /** Attributes none of our roles has (SUPERUSER, CREATEDB, ...), roles it is a member of. */
  readonly excess: readonly string[];
  /** The operator's login may act as it. */
  readonly usable: boolean;
  /** Sessions that are open under it. */
  readonly sessions: number;
}

/** `[from, to)` in milliseconds. */
export interface ObservedPartition {
  readonly name: string;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface ObservedRelation {
  readonly owner: string;
  readonly acl: Acl;
  /** As `offset bigint NOT NULL`, sorted. */
  readonly columns: readonly string[];
  /** Columns of its primary key, as `topic_id, partition`; valid ones only. */
  readonly keys: readonly string[];
  /** What changes or hides rows on their way: triggers, rules, row security, constraints. */
  readonly interference: readonly string[];
}

export interface ObservedLedger {
  readonly roles: Readonly<Record<LedgerRole, ObservedRole | undefined>> &
    Readonly<Partial<Record<OtherRole, ObservedRole | undefined>>>;
  /** `enterable`: the operator's login may CONNECT. */
  readonly database: (ObservedDatabase & { readonly acl: Acl; readonly enterable: boolean }) | undefined;
  /** Undefined also where we did not look inside, because the database is not ours to enter, or not yet. */
  readonly schema: { readonly owner: string; readonly marker: Marker | undefined; readonly acl: Acl } | undefined;
  readonly defaultAcl: Acl;
  /** Tables, views and partitions, by name. */
  readonly relations: ReadonlyMap<string, ObservedRelation>;
  readonly indexes: ReadonlySet<string>;
  /** Of `events`, attached. */
  readonly partitions: readonly ObservedPartition[];
  /** In which the partitions begin, in order. */
  readonly months: readonly Month[];
}

/** Printable: no action carries a secret. Each is one transaction, or one statement where the server wants it alone. */
export type LedgerAction =
  /** With its marker, and the right of the operator's login to act as it. */
  | { readonly kind: "CreateOwnerRole"; readonly role: string; readonly marker: Marker }
  | { readonly kind: "CreateLoginRole"; readonly role: string; readonly marker: Marker }
  /** The operator's login may act as the owner again (another admin than the one that made it). */
  | { readonly kind: "UseRole"; readonly role: string }
  | { readonly kind: "SetLogin"; readonly role: string; readonly login: boolean }
  /** Of those an admin with CREATEDB and CREATEROLE can take. */
  | { readonly kind: "TakeAttribute"; readonly role: string; readonly attribute: "CREATEDB" | "CREATEROLE" }
  | { readonly kind: "SetRoleSettings"; readonly role: string; readonly settings: Readonly<Record<string, string>> }
  /** The marker says afterwards which password it is, in the same transaction. */
  | {
      readonly kind: "SetVerifier";
      readonly role: string;
      readonly login: "writer" | "reader";
      readonly marker: Marker;
    }
  | { readonly kind: "CreateDatabase"; readonly database: string; readonly owner: string }
  | { readonly kind: "CreateSchema"; readonly schema: string; readonly owner: string; readonly marker: Marker }
  | { readonly kind: "CreateTables"; readonly schema: string; readonly missing: readonly string[] }
  | { readonly kind: "AttachMonth"; readonly schema: string; readonly month: Month }
  | SetGrants
  /** Gives the schema, and these tables of ours in it, to our owner; nothing in it is dropped or changed. */
  | {
      readonly kind: "AdoptSchema";
      readonly schema: string;
      readonly from: string;
      readonly owner: string;
      readonly relations: readonly string[];
      readonly marker: Marker;
    }
  /**
   * TakeBack: it was retained by an earlier resource of this name. Adopt: it was nobody's that we know. Either is told to
   * the user in an event. MarkSettled: everything is in place; what differs from now on was changed by hand.
   */
  | {
      readonly kind: "MarkOwned" | "TakeBack" | "Adopt" | "MarkSettled" | "MarkReleased";
      readonly object: "Role" | "Database" | "Schema";
      readonly name: string;
      readonly marker: Marker;
    }
  | { readonly kind: "DropLogin"; readonly role: string }
  /** Its password is gone and its sessions are ended; people's own roles may be members of it, so it stays. */
  | { readonly kind: "DisableLogin"; readonly role: string; readonly marker: Marker }
  | { readonly kind: "DropDatabase"; readonly database: string }
  | { readonly kind: "DropSchema"; readonly schema: string }
  | { readonly kind: "DropRole"; readonly role: string };

export interface LedgerHints {
  /** Logins whose password the server refused (the probe says so): their verifier is set again. */
  readonly rejected?: readonly ("writer" | "reader")[];
}

/**
 * Refusals: RoleConflict, DatabaseConflict, SchemaConflict, ObjectBusy (nothing at all is done); UnexpectedPrivilege and
 * SchemaDrift (the rest is done), which name the statement that a person has to run.
 */
export function planLedger(desired: Ledger, observed: ObservedLedger, hints: LedgerHints = {}): Plan<LedgerAction> {
  const conflicts = conflictsOf(desired, observed);
  if (conflicts.length > 0) return { actions: [], refusals: conflicts };
  const refusals = [...unexpectedPrivileges(desired, observed), ...drift(desired, observed)];
  const actions = planAll(desired, observed, hints);
  const different = refuseDifferent(desired, observed, { actions, refusals });
  if (different !== undefined) return { actions: [], refusals: [different] };

  const mayEnter = observed.database === undefined || observed.database.enterable;
  if (observed.roles.owner?.usable === false || !mayEnter) {
    // What is inside could not be looked at; the next pass can.
    return { actions: [...planOwner(desired, observed), { kind: "UseRole", role: desired.names.owner }], refusals: [] };
  }
  if (desired.driftPolicy === "Report" && isSettled(desired, observed)) {
    return reportDrift({ actions, refusals });
  }
  const settle = refusals.length === 0 && !isSettled(desired, observed) ? [markSettled(desired, observed)] : [];
  return { actions: [...actions, ...settle], refusals };
}

/** What was changed by hand, in words, since everything was in place; whether it is put back is for driftPolicy to say. */
export function findDrift(desired: Ledger, observed: ObservedLedger): readonly string[] {
  if (conflictsOf(desired, observed).length > 0 || !isSettled(desired, observed)) return [];
  return planAll(desired, observed, {}).flatMap((action) => differenceOf(action) ?? []);
}

/** What is changed is left; what is gone stops the ledger, and is not made again either. */
function reportDrift({ actions, refusals }: Plan<LedgerAction>): Plan<LedgerAction> {
  const gone = actions.filter(({ kind }) => kind.startsWith("Create")).flatMap((action) => differenceOf(action) ?? []);
  if (gone.length === 0) return { actions: actions.filter((action) => differenceOf(action) === undefined), refusals };
  const message = `${gone.join("; ")}; driftPolicy is Report, so it is not made again: make it, or set Correct`;
  return { actions: [], refusals: [{ reason: "SchemaDrift", message }, ...refusals] };
}

function planAll(desired: Ledger, observed: ObservedLedger, hints: LedgerHints): LedgerAction[] {
  return [
    ...planRoles(desired, observed),
    ...planDatabase(desired, observed),
    ...planSchema(desired, observed),
    ...planTables(desired, observed),
    ...planMonths(desired, observed),
    // Last: a login that works finds everything in place.
    ...planVerifiers(desired, observed, hints),
    ...planRetirements(desired, observed),
  ];
}

export const ROLES = ["owner", "writer", "reader"] as const satisfies readonly LedgerRole[];
export const OTHER_ROLES = ["otherWriter", "otherReader"] as const satisfies readonly OtherRole[];

const isSettled = (desired: Ledger, { roles: { owner } }: ObservedLedger): boolean =>
  ownership(owner?.marker, desired.identity) === "Ours" && owner?.marker?.settled === ledgerFingerprint(desired);

function markSettled(desired: Ledger, { roles: { owner } }: ObservedLedger): LedgerAction {
  const { names, identity } = desired;
  const marker = { ...nextMarker(owner?.marker, identity, owner !== undefined), settled: ledgerFingerprint(desired) };
  return { kind: "MarkSettled", object: "Role", name: names.owner, marker };
}

/** Every object that exists must be ours, or one that this resource may have. */
function conflictsOf({ names, identity, adoptionPolicy }: Ledger, observed: ObservedLedger): Refusal[] {
  const mayTake = (marker: Marker | undefined) => mayHave(marker, identity, adoptionPolicy);
  const found = findConflicts(names, identity, observed, mayTake, adoptionPolicy);
  if (found.length > 0) return found;
  // Two operators under one clusterId would otherwise take it from each other for ever.
  const sessions = observed.roles.writer?.sessions ?? 0;
  if (sessions === 0 || ownership(observed.roles.writer?.marker, identity) !== "Former") return [];
  const message = `Role ${JSON.stringify(names.writer)} belongs to an earlier resource of this name, and ${sessions} of its sessions are open: it is taken back when they have ended`;
  return [{ reason: "ObjectBusy", message }];
}

export function findConflicts(
  names: LedgerNames,
  identity: LedgerIdentity,
  observed: ObservedLedger,
  mayTake: (marker: Marker | undefined) => boolean,
  policy: Ledger["adoptionPolicy"],
): Conflict[] {
  const roles = [...ROLES, ...OTHER_ROLES].flatMap((role) => {
    const found = observed.roles[role];
    return found === undefined || mayTake(found.marker) ? [] : [conflict("Role", names[role], found.marker, identity)];
  });
  const database = observed.database && databaseOwnership(names, identity, observed.database, mayTake);
  const schema = observed.schema && schemaConflict(names, identity, observed.schema, policy);
  return [...roles, ...(typeof database === "object" ? [database] : []), ...(schema ? [schema] : [])];
}

/** IfIdentical: what is taken over must already be as it would be made. */
function refuseDifferent(
  { names, identity, adoptionPolicy }: Ledger,
  observed: ObservedLedger,
  { actions, refusals }: Plan<LedgerAction>,
): Refusal | undefined {
  if (adoptionPolicy !== "IfIdentical") return undefined;
  const foreign = [...ROLES, ...OTHER_ROLES].filter((role) => {
    const found = observed.roles[role];
    return found !== undefined && mayAdopt(found.marker, identity, adoptionPolicy) && isForeign(found.marker, identity);
  });
  const isSchemaForeign = observed.schema !== undefined && observed.schema.owner !== names.owner;
  if (foreign.length === 0 && !isSchemaForeign) return undefined;
  const missing = new Set(ROLES.filter((role) => observed.roles[role] === undefined).map((role) => names[role]));
  if (observed.schema === undefined) missing.add(names.schema);
  const differences = [
    ...(observed.database?.enterable === false ? [`database ${names.database} cannot be entered to compare it`] : []),
    ...actions
      .filter((action) => !isAboutMissing(action, names, missing))
      .flatMap((action) => differenceOf(action) ?? []),
    ...refusals.map(({ message }) => message),
  ];
  if (differences.length === 0) return undefined;
  const [object, name] = foreign[0] === undefined ? ["Schema", names.schema] : ["Role", names[foreign[0]]];
  const message = `${object} ${JSON.stringify(name)} exists and is not taken over, since adoptionPolicy is IfIdentical and it differs from what would be made: ${differences.join("; ")}`;
  return { reason: `${object}Conflict`, message };
}

const isForeign = (marker: Marker | undefined, identity: LedgerIdentity) => ownership(marker, identity) === "Foreign";

/** The marker under which an object is ours from now on. What is known of it stays known. */
function nextMarker(found: Marker | undefined, identity: LedgerIdentity, existed: boolean): Marker {
  const adopted = found?.adopted === true || (existed && isForeign(found, identity));
  return {
    ...ownedBy(identity),
    ...(found !== undefined && loginPart(found)),
    ...(adopted && { adopted }),
  };
}

/** Puts our name on an object that is there and does not bear it. */
function take(
  object: "Role" | "Database" | "Schema",
  name: string,
  found: Marker | undefined,
  identity: LedgerIdentity,
): LedgerAction[] {
  const marker = nextMarker(found, identity, true);
  switch (ownership(found, identity)) {
    case "Ours":
      return [];
    case "Foreign":
      return [{ kind: "Adopt", object, name, marker }];
    default:
      return [{ kind: "TakeBack", object, name, marker }];
  }
}

function planOwner({ names, identity }: Ledger, { roles: { owner } }: ObservedLedger): LedgerAction[] {
  return owner === undefined
    ? []
    : take("Role", names.owner, owner.marker, identity).filter(({ kind }) => kind === "Adopt");
}

function planRoles({ names, identity, credentials }: Ledger, { roles }: ObservedLedger): LedgerAction[] {
  const login = { owner: false, writer: true, reader: credentials.reader !== undefined };
  const marker = ownedBy(identity);
  const others = OTHER_ROLES.flatMap((kind) => {
    const found = roles[kind];
    return found === undefined ? [] : take("Role", names[kind], found.marker, identity);
  });
  const inForce = ROLES.flatMap((kind): LedgerAction[] => {
    const role = names[kind];
    const found = roles[kind];
    const create: LedgerAction = { kind: kind === "owner" ? "CreateOwnerRole" : "CreateLoginRole", role, marker };
    return [
      ...(found === undefined ? [create] : take("Role", role, found.marker, identity)),
      ...((found?.login ?? false) === login[kind] ? [] : [{ kind: "SetLogin" as const, role, login: login[kind] }]),
      ...planSettings(role, ROLE_SETTINGS[kind], found?.settings ?? {}),
      ...(found?.excess ?? [])
        .filter(isTakeable)
        .map((attribute): LedgerAction => ({ kind: "TakeAttribute", role, attribute })),
    ];
  });
  return [...inForce, ...others];
}

function planSettings(
  role: string,
  wanted: Readonly<Record<string, string>>,
  present: Readonly<Record<string, string>>,
): LedgerAction[] {
  const differing = Object.entries(wanted).filter(([name, value]) => present[name] !== value);
  return differing.length === 0 ? [] : [{ kind: "SetRoleSettings", role, settings: Object.fromEntries(differing) }];
}

const isTakeable = (excess: string): excess is "CREATEDB" | "CREATEROLE" =>
  excess === "CREATEDB" || excess === "CREATEROLE";

/** Our database is closed to everybody else; in the platform's own only what is missing is given. */
function planDatabase({ names, identity }: Ledger, { database: found, roles }: ObservedLedger): LedgerAction[] {
  const database = names.database;
  const on = { kind: "Database", name: database } as const;
  if (found === undefined) {
    return [
      { kind: "CreateDatabase", database, owner: names.owner },
      { kind: "MarkOwned", object: "Database", name: database, marker: ownedBy(identity) },
      ...planGrants(on, DATABASE_PRIVILEGES, names, SERVER_DEFAULT),
    ];
  }
  if (found.owner !== names.owner) {
    const forEverybody = found.acl.find(({ grantee }) => grantee === null)?.privileges ?? [];
    return planGrants(on, DATABASE_PRIVILEGES, names, found.acl).filter(
      ({ to, privileges }) =>
        (to === names.writer || to === names.reader) && privileges.some((wanted) => !forEverybody.includes(wanted)),
    );
  }
  return [
    ...mark("Database", database, found.marker, identity, roles.owner),
    ...planGrants(on, DATABASE_PRIVILEGES, names, found.acl),
  ];
}

/** What a new database lets everybody do. */
const SERVER_DEFAULT: Acl = [{ grantee: null, privileges: ["CONNECT", "TEMPORARY"] }];

/** Without a marker, but its owner's: as new as that one is. */
function mark(
  object: "Database" | "Schema",
  name: string,
  found: Marker | undefined,
  identity: LedgerIdentity,
  owner: ObservedRole | undefined,
): LedgerAction[] {
  if (found !== undefined || (owner !== undefined && isForeign(owner.marker, identity))) {
    return take(object, name, found, identity);
  }
  return [{ kind: "MarkOwned", object, name, marker: ownedBy(identity) }];
}

function planSchema(desired: Ledger, observed: ObservedLedger): LedgerAction[] {
  const { names } = desired;
  const { schema, defaultAcl } = observed;
  return [
    ...ownSchema(desired, observed),
    ...planGrants({ kind: "Schema", name: names.schema }, SCHEMA_PRIVILEGES, names, schema?.acl ?? []),
    ...planGrants({ kind: "DefaultPrivileges", name: names.schema }, DEFAULT_PRIVILEGES, names, defaultAcl),
  ];
}

function ownSchema({ names, identity }: Ledger, observed: ObservedLedger): LedgerAction[] {
  const { schema, owner } = names;
  const { schema: found, roles } = observed;
  if (found === undefined) return [{ kind: "CreateSchema", schema, owner, marker: ownedBy(identity) }];
  if (found.owner === owner) return mark("Schema", schema, found.marker, identity, roles.owner);
  const relations = ledgerRelations(observed).filter((name) => observed.relations.get(name)?.owner !== owner);
  const marker = nextMarker(found.marker, identity, true);
  return [{ kind: "AdoptSchema", schema, from: found.owner, owner, relations, marker }];
}

/** Those present that are the ledger's by name or by where they hang, months included. */
function ledgerRelations({ relations, partitions }: ObservedLedger): string[] {
  const known = new Set([...LEDGER_RELATIONS, ...partitions.map(({ name }) => name)]);
  return [...relations.keys()].filter((name) => known.has(name));
}

function planTables(desired: Ledger, observed: ObservedLedger): LedgerAction[] {
  const { names } = desired;
  const { relations, schema } = observed;
  // Around a table of another shape nothing can be made that fits.
  if (drift(desired, observed).length > 0 && LEDGER_RELATIONS.some((relation) => !relations.has(relation))) return [];
  const adopted = schema !== undefined && schema.owner !== names.owner ? ledgerRelations(observed) : [];
  const isOurs = (relation: string) => {
    const owner = relations.get(relation)?.owner ?? names.owner;
    return owner === names.owner || adopted.includes(relation);
  };
  const missing = LEDGER_RELATIONS.filter((relation) => !relations.has(relation));
  const create: LedgerAction[] = missing.length === 0 ? [] : [{ kind: "CreateTables", schema: names.schema, missing }];
  // What is still to be made will begin with the default privileges, which are set before.
  const begin: Acl = [{ grantee: names.reader, privileges: DEFAULT_PRIVILEGES.reader ?? [] }];
  const grants = [...new Set([...LEDGER_RELATIONS, ...relations.keys()])]
    .filter(isOurs)
    .flatMap((relation) =>
      planGrants(
        { kind: "Relation", name: relation },
        relationPrivileges(relation),
        names,
        relations.get(relation)?.acl ?? begin,
      ),
    );
  return [...create, ...grants];
}

function planMonths({ names, months }: Ledger, { partitions, relations }: ObservedLedger): LedgerAction[] {
  if (relations.get("events")?.interference.includes(UNPARTITIONED)) return [];
  const isCovered = (month: Month) => {
    const { from, to } = monthBounds(month);
    return partitions.some(({ fromMs, toMs }) => fromMs <= Date.parse(from) && Date.parse(to) <= toMs);
  };
  return months
    .filter((month) => !isCovered(month))
    .map((month) => ({ kind: "AttachMonth", schema: names.schema, month }));
}

function planVerifiers(desired: Ledger, observed: ObservedLedger, { rejected = [] }: LedgerHints): LedgerAction[] {
  return (["writer", "reader"] as const).flatMap((login): LedgerAction[] => {
    const credential = desired.credentials[login];
    if (credential === undefined) return [];
    const role = observed.roles[login];
    const present = role?.marker;
    const isSame = present?.credential === credential && (present.issuedAt !== undefined || !desired.rotation);
    if (isSame && !rejected.includes(login)) return [];
    const issued = isSame ? loginPart(present) : { credential, ...issuedNow(desired.rotation) };
    const { adopted } = nextMarker(present, desired.identity, role !== undefined);
    const marker = { ...ownedBy(desired.identity), ...issued, ...(adopted && { adopted }) };
    return [{ kind: "SetVerifier", role: desired.names[login], login, marker }];
  });
}

/** What only somebody else could have given, and only they can take: said, not fought over. */
function unexpectedPrivileges({ names }: Ledger, { roles }: ObservedLedger): Refusal[] {
  return [...ROLES, ...OTHER_ROLES].flatMap((kind) =>
    (roles[kind]?.excess ?? [])
      .filter((excess) => !isTakeable(excess))
      .map((excess) => ({
        reason: "UnexpectedPrivilege",
        message: `Role ${JSON.stringify(names[kind])} was given by hand what it must not have: ${excess}; take it away as a superuser`,
      })),
  );
}

/** What `observe` says of a table that must be partitioned and is not. */
export const UNPARTITIONED = "no partitioning";

/** Never repaired by ourselves: each is a change of the record, or a long lock on it. */
function drift({ names }: Ledger, observed: ObservedLedger): Refusal[] {
  const { schema, relations, indexes } = observed;
  if (schema === undefined) return [];
  const isWhole = LEDGER_RELATIONS.every((relation) => relations.has(relation));
  const missing = isWhole ? LEDGER_INDEXES.filter((index) => !indexes.has(index)) : [];
  // A schema that is being taken over brings its tables' owner along.
  const owner = schema.owner;
  const mine = [names.owner, owner];
  const found = [
    ...missing.map((index) => `index ${index} is missing; create it again at a quiet hour`),
    ...[...relations].flatMap(([relation, { owner, interference }]) => [
      ...(mine.includes(owner) ? [] : [`${relation} belongs to ${owner}; give it to ${names.owner}, or drop it`]),
      ...interference.map((what) => `${relation} has ${what}; take it away`),
    ]),
    ...[...LEDGER_COLUMNS].flatMap(([table, wanted]) => columnDrift(table, wanted, relations.get(table))),
  ];
  return found.map((what) => ({
    reason: "SchemaDrift",
    message: `Schema ${names.schema} of ${names.database}: ${what}`,
  }));
}

function columnDrift(table: string, wanted: readonly string[], found: ObservedRelation | undefined): string[] {
  if (found === undefined) return [];
  const { columns, keys } = found;
  const key = PRIMARY_KEYS[table];
  return [
    ...wanted.filter((column) => !columns.includes(column)).map((column) => `${table} lacks ${column}; put it back`),
    ...columns.filter((column) => !wanted.includes(column)).map((column) => `${table} has ${column}; undo that`),
    ...(key === undefined || keys.includes(key) ? [] : [`${table} lacks PRIMARY KEY (${key}); put it back`]),
  ];
}

/** What makes a row stand once. */
const PRIMARY_KEYS: Readonly<Record<string, string>> = { event_ids: "key", progress: "topic_id, partition" };
