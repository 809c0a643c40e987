import type { OperatorConfig } from "../config.ts";
import type { KafkaConnections } from "../external/connect-kafka.ts";
import type { LedgerOptions, PostgresLedger } from "../external/postgres-ledger.ts";
import type { Receipts } from "../external/receipts.ts";

/** What the controllers work with: made once by `main.ts`, closed at stop. */
export interface Deps {
  readonly config: OperatorConfig;
  readonly kafka: KafkaConnections;
  readonly ledgers: (options: LedgerOptions) => PostgresLedger;
  readonly receipts: Receipts;
  readonly now: () => Date;
}

/** RFC 3339 in seconds, as metav1.Time. */
export const rfc3339 = (date: Date) => date.toISOString().replace(/\.\d+Z$/, "Z");
