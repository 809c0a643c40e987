import { createHash } from "node:crypto";
import type { Month } from "./postgres-month.ts";
import type { LedgerIdentity, LedgerNames } from "./postgres-names.ts";
import { ledgerTables } from "./postgres-tables.ts";
import type { Rotation } from "./rotation.ts";

/** One sink's ledger as it should be. */
export interface Ledger {
  readonly names: LedgerNames;
  readonly identity: LedgerIdentity;
  readonly months: readonly Month[];
  /** A fingerprint (external/scram.ts) of the password each login should have; no reader: it may not log in. */
  readonly credentials: { readonly writer: string; readonly reader?: string | undefined };
  /** What may be done with objects that are there and nobody's that we know. */
  readonly adoptionPolicy: "Never" | "IfIdentical" | "Always";
  /** Whether what somebody changed by hand is put back, or left and reported. */
  readonly driftPolicy: "Correct" | "Report";
  readonly rotation?: Rotation | undefined;
}

export type LedgerRole = "owner" | "writer" | "reader";
export type OtherRole = "otherWriter" | "otherReader";

/** What may be done with one object, by role. `PUBLIC` never appears: nobody else may do anything. */
export type Privileges = Readonly<Partial<Record<"writer" | "reader", readonly string[]>>>;

export const DATABASE_PRIVILEGES: Privileges = { writer: ["CONNECT", "TEMPORARY"], reader: ["CONNECT"] };
export const SCHEMA_PRIVILEGES: Privileges = { writer: ["USAGE"], reader: ["USAGE"] };

/** What a table of the ledger has by default privileges, the future months among them. */
export const DEFAULT_PRIVILEGES: Privileges = { reader: ["SELECT"] };

/** The writer appends; only where the stream stands may it change. Rows reach a month through `events`. */
const WRITABLE: Readonly<Record<string, readonly string[]>> = {
  events: ["INSERT", "SELECT"],
  event_ids: ["INSERT", "SELECT"],
  conflicts: ["INSERT", "SELECT"],
  skipped: ["INSERT", "SELECT"],
  progress: ["INSERT", "SELECT", "UPDATE"],
};

export function relationPrivileges(relation: string): Privileges {
  const writer = Object.hasOwn(WRITABLE, relation) ? WRITABLE[relation] : undefined;
  return writer === undefined ? DEFAULT_PRIVILEGES : { ...DEFAULT_PRIVILEGES, writer };
}

export const WRITER_TABLES: readonly string[] = Object.keys(WRITABLE);

/** Settings a session begins with, as `ALTER ROLE … SET`; what else stands there is somebody else's. */
export const ROLE_SETTINGS: Readonly<Record<LedgerRole, Readonly<Record<string, string>>>> = {
  owner: { search_path: "pg_catalog" },
  writer: {
    search_path: "pg_catalog",
    // A sink frozen between two statements must not hold its partition against a successor.
    idle_in_transaction_session_timeout: "15s",
    // The same for one whose host went without a FIN.
    tcp_keepalives_idle: "15",
    tcp_keepalives_interval: "5",
    tcp_keepalives_count: "3",
  },
  reader: { search_path: "pg_catalog", default_transaction_read_only: "on" },
};

const CREATED = /^CREATE (?:OR REPLACE )?(TABLE|VIEW|INDEX)(?: IF NOT EXISTS)? (?:"s"\.)?(\w+)/;

/** Names of what the DDL makes, read from the DDL itself. */
function created(...kinds: readonly string[]): readonly string[] {
  return ledgerTables('"s"').flatMap((statement) => {
    const found = CREATED.exec(statement);
    return found?.[1] !== undefined && found[2] !== undefined && kinds.includes(found[1]) ? [found[2]] : [];
  });
}

export const LEDGER_RELATIONS: readonly string[] = created("TABLE", "VIEW");
export const LEDGER_INDEXES: readonly string[] = created("INDEX");

const TYPE_NAMES: Readonly<Record<string, string>> = { timestamptz: "timestamp with time zone" };

/** By table, its columns as `offset bigint NOT NULL`, sorted; read from the DDL itself. */
export const LEDGER_COLUMNS: ReadonlyMap<string, readonly string[]> = new Map(
  ledgerTables('"s"').flatMap((statement) => {
    const [, kind, name] = CREATED.exec(statement) ?? [];
    return kind === "TABLE" && name !== undefined && !statement.includes("PARTITION OF")
      ? [[name, columnsOf(statement)] as const]
      : [];
  }),
);

function columnsOf(statement: string): readonly string[] {
  const primaryKey = /PRIMARY KEY \(([^)]*)\)/.exec(statement)?.[1]?.split(", ") ?? [];
  const lines = [...statement.matchAll(/^ +"?([a-z_0-9]+)"? ([a-z]+)(?: COLLATE "C")?( NOT NULL| PRIMARY KEY)?/gm)];
  return lines
    .map(([, name = "", type = "", constraint]) => {
      const isRequired = constraint !== undefined || primaryKey.includes(name);
      return `${name} ${TYPE_NAMES[type] ?? type}${isRequired ? " NOT NULL" : ""}`;
    })
    .sort();
}

/**
 * Moves with everything that is asked of a ledger, by the spec or by this version of the operator. Kept on the owner
 * role once everything is in place: from then on, what differs was changed by hand.
 */
export function ledgerFingerprint({ credentials }: Pick<Ledger, "credentials">): string {
  const privileges = [DATABASE_PRIVILEGES, SCHEMA_PRIVILEGES, DEFAULT_PRIVILEGES, WRITABLE];
  const readerMayLogIn = credentials.reader !== undefined;
  const asked = [ledgerTables('"s"'), privileges, ROLE_SETTINGS, readerMayLogIn];
  return createHash("sha256").update(JSON.stringify(asked)).digest("hex").slice(0, 16);
}
