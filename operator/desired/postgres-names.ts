import type { PostgresBackend } from "../config.ts";

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
  readonly writer: string;
  readonly reader: string;
}

export type LedgerBackend = Pick<PostgresBackend, "name" | "namePrefix" | "maintenanceDatabase">;

/** @throws StalledError NameNotAllowed */
export function ledgerNames(
  _identity: Omit<LedgerIdentity, "uid">,
  _spec: { database?: string | undefined; schema?: string | undefined },
  _backend: LedgerBackend,
): LedgerNames {
  throw new Error("not yet");
}
