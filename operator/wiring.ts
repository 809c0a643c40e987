import type { Controllers } from "./cli/controllers.ts";
import type { OperatorConfig } from "./config.ts";
import { auditPipelineReconciler } from "./controllers/audit-pipeline.ts";
import { auditTopicReconciler } from "./controllers/audit-topic.ts";
import type { Deps } from "./controllers/deps.ts";
import { connectKafka } from "./external/connect-kafka.ts";
import { connectPostgres } from "./external/connect-postgres.ts";
import { postgresLedger } from "./external/postgres-ledger.ts";
import type { Receipts } from "./external/receipts.ts";

/** The world outside, as the controllers are given it. `close` ends every connection. */
export function connect(
  config: OperatorConfig,
  receipts: Receipts,
  now = () => new Date(),
): Deps & { close(): Promise<void> } {
  const [kafka, postgres] = [connectKafka(), connectPostgres()];
  return {
    ...{ config, kafka, receipts, now },
    ledgers: (options) => postgresLedger({ connections: postgres, ...options }),
    async close() {
      await Promise.allSettled([kafka.close(), postgres.close()]);
    },
  };
}

/** What the operator runs, and what it is given to work with. */
export const makeControllers = (config: OperatorConfig, receipts: Receipts, now?: () => Date): Controllers => {
  const deps = connect(config, receipts, now);
  const reconcilers = [auditTopicReconciler(deps), auditPipelineReconciler(deps)];
  return {
    // Each is only ever handed resources of its own kind.
    reconcilers,
    close: deps.close,
  };
};
