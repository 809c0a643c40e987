import { createHash } from "node:crypto";
import { isDatabaseName, isSchemaName } from "../../crds/v1alpha1/names.ts";
import type { PostgresBackend } from "../config.ts";
import { notAllowed, renderNamePrefix, requirePrefix } from "./name-prefix.ts";

/** Who owns a ledger; what its markers say. */
export interface LedgerIdentity {
  readonly clusterId: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly sink: string;
}

/** Names in PostgreSQL, unquoted, each within 63 bytes. */
export interface LedgerNames {
  readonly database: string;
  /** True: the spec names the database, so an existing one of the platform may be used, and only the schema is ours. */
  readonly databaseGiven: boolean;
  readonly schema: string;
  readonly owner: string;
  /** Each login has two names, in force in turn: this is the one in force. */
  readonly writer: string;
  readonly reader: string;
  /** The one a rotation makes next, or the one it is about to take away. */
  readonly otherWriter: string;
  readonly otherReader: string;
}

export type LoginKind = "writer" | "reader";

export type LedgerBackend = Pick<PostgresBackend, "name" | "namePrefix" | "maintenanceDatabase">;

export const DEFAULT_SCHEMA = "audit";

/** NAMEDATALEN - 1. A longer identifier is cut by the server in silence, and two cut ones may meet. */
const MAX_BYTES = 63;
/** Room for `_writer` and for the suffix of a rotated login. */
const SUFFIX_BYTES = 12;
const HASH_CHARACTERS = 10;
const SECOND = "_b";
/** In no name of the allow-list, so that a shortened name is never a given one. */
const SHORTENED = "~";

/**
 * Injective: two resources, or two databases and schemas, never meet in one name. A namespace and a metadata.name have no
 * `_`, a database no `.`, and what is shortened ends with a hash of who it belongs to.
 *
 * @throws StalledError NameNotAllowed
 */
export function ledgerNames(
  identity: Omit<LedgerIdentity, "uid">,
  spec: { database?: string | undefined; schema?: string | undefined },
  backend: LedgerBackend,
): LedgerNames {
  const rule = { prefix: renderNamePrefix(backend.namePrefix, identity.namespace), backend: backend.name };
  const schema = spec.schema ?? DEFAULT_SCHEMA;
  if (!isSchemaName(schema)) {
    throw notAllowed(
      "postgres.schema",
      schema,
      "a schema has 1 to 63 of a-z 0-9 _, begins with a letter or _, and is not public, information_schema or pg_*",
      `choose another, such as ${DEFAULT_SCHEMA}`,
    );
  }
  const database =
    spec.database === undefined
      ? defaultDatabase(identity, rule.prefix)
      : givenDatabase(spec.database, { ...rule, field: "postgres.database" });
  refuseReserved(database, backend);

  const base = schema === DEFAULT_SCHEMA ? database : `${database}.${schema}`;
  const roleBase = shorten(base, identity, "role");
  return {
    database,
    databaseGiven: spec.database !== undefined,
    schema,
    owner: `${roleBase}_owner`,
    writer: `${roleBase}_writer`,
    reader: `${roleBase}_reader`,
    otherWriter: `${roleBase}_writer${SECOND}`,
    otherReader: `${roleBase}_reader${SECOND}`,
  };
}

export const otherOf = { writer: "otherWriter", reader: "otherReader" } as const;

/** The first of two names lasts as long as the ledger; the second comes and goes. */
export const isSecond = (role: string): boolean => role.endsWith(SECOND);

/** With `role` in force for that login, where it is one of its two names. */
export function inForce(names: LedgerNames, login: LoginKind, role: string | undefined): LedgerNames {
  return role === names[otherOf[login]] ? { ...names, [login]: role, [otherOf[login]]: names[login] } : names;
}

function givenDatabase(name: string, rule: { field: string; prefix: string; backend: string }): string {
  if (!isDatabaseName(name)) {
    throw notAllowed(
      rule.field,
      name,
      "a database has 1 to 63 of a-z 0-9 _ -, does not begin with pg_ or -, and is not one of the server's own",
      "choose another name",
    );
  }
  requirePrefix(name, rule);
  return name;
}

function defaultDatabase(identity: Omit<LedgerIdentity, "uid">, prefix: string): string {
  const plain = `${prefix}${identity.name}`;
  // A dot would read as the one between database and schema in a role's name.
  const readable = plain.replaceAll(/[^a-z0-9_-]/g, "_");
  return readable === plain ? shorten(plain, identity, "database") : withHash(readable, identity, "database");
}

function refuseReserved(database: string, { maintenanceDatabase }: LedgerBackend): void {
  const base = database.split(SHORTENED)[0] ?? "";
  if (isDatabaseName(base) && database !== maintenanceDatabase) return;
  throw notAllowed(
    "postgres.database",
    database,
    "it belongs to the server, or its roles could not be made (no role begins with pg_)",
    "name another one in postgres.database, or have the back-end's namePrefix changed",
  );
}

function shorten(name: string, identity: Omit<LedgerIdentity, "uid">, kind: string): string {
  return Buffer.byteLength(name) + SUFFIX_BYTES <= MAX_BYTES ? name : withHash(name, identity, kind);
}

function withHash(name: string, identity: Omit<LedgerIdentity, "uid">, kind: string): string {
  const { clusterId, namespace, name: resource } = identity;
  // JSON keeps the parts apart: ["a-b","c"] is not ["a","b-c"]. The name in full keeps two sinks of one pipeline apart.
  const hash = createHash("sha256")
    .update(JSON.stringify([clusterId, namespace, resource, kind, name]))
    .digest("hex")
    .slice(0, HASH_CHARACTERS);
  const room = MAX_BYTES - SUFFIX_BYTES - SHORTENED.length - HASH_CHARACTERS;
  return `${name.slice(0, room)}${SHORTENED}${hash}`;
}
