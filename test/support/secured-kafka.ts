import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type SecuredKafka, startSecuredKafka } from "../../hack/servers/secured-kafka.ts";

export interface OwnSecuredKafka extends SecuredKafka {
  remove(): Promise<void>;
}

/** A broker with TLS and an authorizer, for one test file: started by those that need it, some five seconds. */
export async function securedKafka(): Promise<OwnSecuredKafka> {
  const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-kafka-"));
  const started = await startSecuredKafka({ dir: join(dir, "broker") });
  return {
    ...started,
    async remove() {
      await started.kafka.remove();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
