import type { MakeControllers } from "./cli/standalone.ts";
import { auditPipelineReconciler } from "./controllers/audit-pipeline.ts";
import { auditTopicReconciler } from "./controllers/audit-topic.ts";
import { connectKafka } from "./external/connect-kafka.ts";
import { connectPostgres } from "./external/connect-postgres.ts";
import { fileReceipts } from "./standalone/receipts.ts";

/** What the operator runs, and what it is given to work with. */
export const makeControllers: MakeControllers = (config, stateDir) => {
  const [kafka, postgres] = [connectKafka(), connectPostgres()];
  const deps = { config, kafka, postgres, receipts: fileReceipts(stateDir), now: () => new Date() };
  const reconcilers = [auditTopicReconciler(deps), auditPipelineReconciler(deps)];
  return {
    // Each is only ever handed resources of its own kind.
    reconcilers,
    async close() {
      await Promise.allSettled([kafka.close(), postgres.close()]);
    },
  };
};
