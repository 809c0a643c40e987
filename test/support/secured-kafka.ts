import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type SecuredKafka, type SecuredKafkaPlace, securedKafkaAt } from "../../hack/servers/secured-kafka.ts";
import { sharedServers } from "./servers.ts";

export interface SharedSecuredKafka extends SecuredKafka {
  /** Takes the certificates away that were signed for this file. */
  remove(): void;
}

/** The one broker of the run with TLS and an authorizer, started when first asked for: choose names of your own. */
export async function securedKafka(): Promise<SharedSecuredKafka> {
  const answer = await fetch(sharedServers().securedKafka);
  if (!answer.ok) throw new Error(await answer.text());
  const certificates = mkdtempSync(join(tmpdir(), "audit-pipeline-certificates-"));
  const place = (await answer.json()) as SecuredKafkaPlace;
  return {
    ...securedKafkaAt(place, certificates),
    remove: () => rmSync(certificates, { recursive: true, force: true }),
  };
}
