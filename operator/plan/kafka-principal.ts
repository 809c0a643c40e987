import type { KafkaAcl } from "../desired/kafka-principal.ts";

/** What a cluster knows of a user. */
export interface ObservedPrincipal {
  /** It has a password for the back-end's mechanism; which one, no cluster tells. */
  readonly hasPassword: boolean;
  readonly acls: readonly KafkaAcl[];
}
