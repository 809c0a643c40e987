import type { OperatorConfig } from "../config.ts";
import type { KafkaConnections } from "../external/connect-kafka.ts";
import type { PostgresConnections } from "../external/connect-postgres.ts";
import type { Receipts } from "../external/receipts.ts";

/** What the controllers work with: made once by `main.ts`, closed at stop. */
export interface Deps {
  readonly config: OperatorConfig;
  readonly kafka: KafkaConnections;
  readonly postgres: PostgresConnections;
  readonly receipts: Receipts;
  readonly now: () => Date;
}

/** RFC 3339 in seconds, as metav1.Time. */
export const rfc3339 = (date: Date) => date.toISOString().replace(/\.\d+Z$/, "Z");
