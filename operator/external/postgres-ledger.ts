import type { Month } from "../desired/postgres-month.ts";
import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import type { LedgerAction, ObservedLedger } from "../plan/postgres-ledger.ts";
import type { PostgresConnections, PostgresServer } from "./connect-postgres.ts";

/** One row of `progress`. */
export interface Progress {
  /** 36-character UUID. */
  readonly topicId: string;
  readonly partition: number;
  readonly nextOffset: bigint;
  readonly epoch: bigint;
  readonly wantedMonth: Month | undefined;
}

export interface ProbeResult {
  readonly ok: boolean;
  /** One sentence each, fit for a condition. */
  readonly failures: readonly string[];
  /** Logins the server did not let in with this password: hand them to planLedger as `rejected`. */
  readonly rejected: readonly ("writer" | "reader")[];
  /** Keep the result under this; as long as it is the same, there is no need to probe again. */
  readonly key: string;
}

export interface LedgerPasswords {
  readonly writer: string;
  readonly reader?: string | undefined;
}

/** One sink's ledger in PostgreSQL; the one thing the controllers call. */
export interface PostgresLedger {
  observe(): Promise<ObservedLedger>;
  apply(action: LedgerAction): Promise<void>;
  /** Empty while there is no table. */
  readProgress(): Promise<readonly Progress[]>;
  /** Logs in as writer (and reader) and sees what is allowed and what is refused; changes nothing. */
  probe(): Promise<ProbeResult>;
  probeKey(): string;
}

/** `passwords` are needed for apply of SetVerifier and for probe. */
export function postgresLedger(_options: {
  readonly connections: PostgresConnections;
  readonly server: PostgresServer;
  readonly identity: LedgerIdentity;
  readonly names: LedgerNames;
  readonly passwords?: LedgerPasswords | undefined;
}): PostgresLedger {
  throw new Error("not yet");
}
