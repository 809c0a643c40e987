import {
  DATABASE_PRIVILEGES,
  DEFAULT_PRIVILEGES,
  LEDGER_COLUMNS,
  LEDGER_INDEXES,
  LEDGER_RELATIONS,
  type Ledger,
  type LedgerRole,
  ROLE_SETTINGS,
  relationPrivileges,
  SCHEMA_PRIVILEGES,
} from "../desired/postgres-ledger.ts";
import { type Month, monthBounds } from "../desired/postgres-month.ts";
import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import type { Plan, Refusal } from "./plan.ts";
import { type Acl, planGrants, type SetGrants } from "./postgres-grants.ts";
import {
  type Conflict,
  conflict,
  databaseOwnership,
  type Marker,
  markerText,
  type ObservedDatabase,
  ownedBy,
  ownership,
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
  /** What changes or hides rows on their way: triggers, rules, row security. */
  readonly interference: readonly string[];
}

export interface ObservedLedger {
  readonly roles: Readonly<Record<LedgerRole, ObservedRole | undefined>>;
  readonly database: (ObservedDatabase & { readonly acl: Acl }) | undefined;
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
  /** TakeBack: it was retained by an earlier resource of this name; tell the user in an event. */
  | {
      readonly kind: "MarkOwned" | "TakeBack" | "MarkReleased";
      readonly object: "Role" | "Database" | "Schema";
      readonly name: string;
      readonly marker: Marker;
    }
  | { readonly kind: "DropLogin"; readonly role: string }
  | { readonly kind: "DropDatabase"; readonly database: string }
  | { readonly kind: "DropSchema"; readonly schema: string }
  | { readonly kind: "DropRole"; readonly role: string };

export interface LedgerHints {
  /** Logins whose password the server refused (the probe says so): their verifier is set again. */
  readonly rejected?: readonly ("writer" | "reader")[];
}

/**
 * Refusals: RoleConflict, DatabaseConflict, SchemaConflict (nothing at all is done); UnexpectedPrivilege and SchemaDrift
 * (the rest is done), which name the statement that a person has to run.
 */
export function planLedger(desired: Ledger, observed: ObservedLedger, hints: LedgerHints = {}): Plan<LedgerAction> {
  const conflicts = findConflicts(desired.names, desired.identity, observed);
  if (conflicts.length > 0) return { actions: [], refusals: conflicts };
  if (observed.roles.owner?.usable === false) {
    // What is inside could not be looked at; the next pass can.
    return { actions: [{ kind: "UseRole", role: desired.names.owner }], refusals: [] };
  }
  return {
    actions: [
      ...planRoles(desired, observed),
      ...planDatabase(desired, observed),
      ...planSchema(desired, observed),
      ...planTables(desired, observed),
      ...planMonths(desired, observed),
      // Last: a login that works finds everything in place.
      ...planVerifiers(desired, observed, hints),
    ],
    refusals: [...unexpectedPrivileges(desired, observed), ...drift(desired, observed)],
  };
}

export const ROLES = ["owner", "writer", "reader"] as const satisfies readonly LedgerRole[];

/** Every object that exists must be ours, or released by an earlier resource of the same name. */
export function findConflicts(names: LedgerNames, identity: LedgerIdentity, observed: ObservedLedger): Conflict[] {
  const roles = ROLES.flatMap((role) => {
    const found = observed.roles[role];
    if (found === undefined || ownership(found.marker, identity) !== "Foreign") return [];
    return [conflict("Role", names[role], found.marker)];
  });
  const database = observed.database && databaseOwnership(names, identity, observed.database);
  const schema = observed.schema;
  return [
    ...roles,
    ...(typeof database === "object" ? [database] : []),
    ...(schema !== undefined && schema.owner !== names.owner ? [conflict("Schema", names.schema, schema.marker)] : []),
  ];
}

function planRoles({ names, identity, credentials }: Ledger, { roles }: ObservedLedger): LedgerAction[] {
  const login = { owner: false, writer: true, reader: credentials.reader !== undefined };
  const marker = ownedBy(identity);
  return ROLES.flatMap((kind): LedgerAction[] => {
    const role = names[kind];
    const found = roles[kind];
    const create: LedgerAction = { kind: kind === "owner" ? "CreateOwnerRole" : "CreateLoginRole", role, marker };
    return [
      ...(found === undefined ? [create] : takeBack("Role", role, found.marker, identity)),
      ...((found?.login ?? false) === login[kind] ? [] : [{ kind: "SetLogin" as const, role, login: login[kind] }]),
      ...planSettings(role, ROLE_SETTINGS[kind], found?.settings ?? {}),
    ];
  });
}

function planSettings(
  role: string,
  wanted: Readonly<Record<string, string>>,
  present: Readonly<Record<string, string>>,
): LedgerAction[] {
  const differing = Object.entries(wanted).filter(([name, value]) => present[name] !== value);
  return differing.length === 0 ? [] : [{ kind: "SetRoleSettings", role, settings: Object.fromEntries(differing) }];
}

/** Our database is closed to everybody else; in the platform's own only what is missing is given. */
function planDatabase({ names, identity }: Ledger, { database: found }: ObservedLedger): LedgerAction[] {
  const database = names.database;
  const on = { kind: "Database", name: database } as const;
  if (found === undefined) {
    return [
      { kind: "CreateDatabase", database, owner: names.owner },
      { kind: "MarkOwned", object: "Database", name: database, marker: ownedBy(identity) },
      ...planGrants(on, DATABASE_PRIVILEGES, names, SERVER_DEFAULT),
    ];
  }
  if (databaseOwnership(names, identity, found) === "SchemaOnly") {
    const forEverybody = found.acl.find(({ grantee }) => grantee === null)?.privileges ?? [];
    return planGrants(on, DATABASE_PRIVILEGES, names, found.acl).filter(
      ({ to, privileges }) =>
        (to === names.writer || to === names.reader) && privileges.some((wanted) => !forEverybody.includes(wanted)),
    );
  }
  return [
    ...(found.marker === undefined
      ? [{ kind: "MarkOwned" as const, object: "Database" as const, name: database, marker: ownedBy(identity) }]
      : takeBack("Database", database, found.marker, identity)),
    ...planGrants(on, DATABASE_PRIVILEGES, names, found.acl),
  ];
}

/** What a new database lets everybody do. */
const SERVER_DEFAULT: Acl = [{ grantee: null, privileges: ["CONNECT", "TEMPORARY"] }];

function planSchema({ names, identity }: Ledger, { schema: found, defaultAcl }: ObservedLedger): LedgerAction[] {
  const { schema, owner } = names;
  const marker = ownedBy(identity);
  return [
    ...(found === undefined
      ? [{ kind: "CreateSchema" as const, schema, owner, marker }]
      : found.marker === undefined
        ? [{ kind: "MarkOwned" as const, object: "Schema" as const, name: schema, marker }]
        : takeBack("Schema", schema, found.marker, identity)),
    ...planGrants({ kind: "Schema", name: schema }, SCHEMA_PRIVILEGES, names, found?.acl ?? []),
    ...planGrants({ kind: "DefaultPrivileges", name: schema }, DEFAULT_PRIVILEGES, names, defaultAcl),
  ];
}

function planTables({ names }: Ledger, { relations }: ObservedLedger): LedgerAction[] {
  const missing = LEDGER_RELATIONS.filter((relation) => !relations.has(relation));
  const create: LedgerAction[] = missing.length === 0 ? [] : [{ kind: "CreateTables", schema: names.schema, missing }];
  // What is still to be made will begin with the default privileges, which are set before.
  const begin: Acl = [{ grantee: names.reader, privileges: DEFAULT_PRIVILEGES.reader ?? [] }];
  const grants = [...new Set([...LEDGER_RELATIONS, ...relations.keys()])].flatMap((relation) =>
    planGrants(
      { kind: "Relation", name: relation },
      relationPrivileges(relation),
      names,
      relations.get(relation)?.acl ?? begin,
    ),
  );
  return [...create, ...grants];
}

function planMonths({ names, months }: Ledger, { partitions }: ObservedLedger): LedgerAction[] {
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
    const present = observed.roles[login]?.marker?.credential;
    if (present === credential && !rejected.includes(login)) return [];
    const marker = { ...ownedBy(desired.identity), credential };
    return [{ kind: "SetVerifier", role: desired.names[login], login, marker }];
  });
}

function takeBack(
  object: "Role" | "Database" | "Schema",
  name: string,
  found: Marker | undefined,
  identity: LedgerIdentity,
): LedgerAction[] {
  if (found === undefined || ownership(found, identity) !== "Released") return [];
  const marker = { ...ownedBy(identity), ...(found.credential !== undefined && { credential: found.credential }) };
  return markerText(marker) === markerText(found) ? [] : [{ kind: "TakeBack", object, name, marker }];
}

/** What only somebody else could have given, and only they can take: said, not fought over. */
function unexpectedPrivileges({ names }: Ledger, { roles }: ObservedLedger): Refusal[] {
  return ROLES.flatMap((kind) =>
    (roles[kind]?.excess ?? []).map((excess) => ({
      reason: "UnexpectedPrivilege",
      message: `Role ${JSON.stringify(names[kind])} was given by hand what it must not have: ${excess}; take it away as a superuser`,
    })),
  );
}

/** Never repaired by ourselves: each is a change of the record, or a long lock on it. */
function drift({ names }: Ledger, { schema, relations, indexes }: ObservedLedger): Refusal[] {
  if (schema === undefined || LEDGER_RELATIONS.some((relation) => !relations.has(relation))) return [];
  const missing = LEDGER_INDEXES.filter((index) => !indexes.has(index));
  const found = [
    ...missing.map((index) => `index ${index} is missing; create it again at a quiet hour`),
    ...[...relations].flatMap(([relation, { owner, interference }]) => [
      ...(owner === names.owner ? [] : [`${relation} belongs to ${owner}; give it to ${names.owner}, or drop it`]),
      ...interference.map((what) => `${relation} has ${what}; take it away`),
    ]),
    ...[...LEDGER_COLUMNS].flatMap(([table, wanted]) => {
      const present = relations.get(table)?.columns ?? [];
      return [
        ...wanted
          .filter((column) => !present.includes(column))
          .map((column) => `${table} lacks ${column}; put it back`),
        ...present.filter((column) => !wanted.includes(column)).map((column) => `${table} has ${column}; undo that`),
      ];
    }),
  ];
  return found.map((what) => ({
    reason: "SchemaDrift",
    message: `Schema ${names.schema} of ${names.database}: ${what}`,
  }));
}
