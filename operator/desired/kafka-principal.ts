import { createHash } from "node:crypto";

/** One right of a user, in Kafka's own words (org.apache.kafka.common.acl): TOPIC, LITERAL, READ, ALLOW. */
export interface KafkaAcl {
  readonly resource: string;
  readonly name: string;
  readonly pattern: string;
  readonly operation: string;
  readonly permission: string;
  readonly host: string;
}

/** A user of a cluster and all it may do. */
export interface KafkaPrincipal {
  readonly username: string;
  readonly acls: readonly KafkaAcl[];
}

export interface PrincipalInput {
  readonly clusterId: string;
  readonly pipeline: { readonly namespace: string; readonly name: string };
  readonly topicName: string;
  readonly deadLetterTopic?: string | undefined;
  readonly consumerGroups: readonly string[];
}

/**
 * The user of a pipeline: Kafka has no room for a marker, so the name says whose it is. Injective: neither a namespace
 * nor a pipeline's name has a dot, so the last two parts are theirs. At most 200 characters.
 */
export function principalName({ clusterId, pipeline }: Pick<PrincipalInput, "clusterId" | "pipeline">): string {
  return `audit-pipeline.${plainId(clusterId)}.${pipeline.namespace}.${pipeline.name}`;
}

/** SASL and ACLs give some characters a meaning (`,`, `=`, `:`); a `~` is in no id that is taken as it is. */
const plainId = (clusterId: string) =>
  /^[A-Za-z0-9._-]+$/.test(clusterId)
    ? clusterId
    : `~${createHash("sha256").update(clusterId).digest("hex").slice(0, 32)}`;

/** The least that a sink can work with: it reads its topic in its groups, and writes what it cannot store elsewhere. */
export function desiredPrincipal(input: PrincipalInput): KafkaPrincipal {
  const { topicName, deadLetterTopic, consumerGroups } = input;
  return {
    username: principalName(input),
    acls: [
      allow("TOPIC", topicName, "READ"),
      allow("TOPIC", topicName, "DESCRIBE"),
      ...(deadLetterTopic === undefined
        ? []
        : ["WRITE", "DESCRIBE"].map((may) => allow("TOPIC", deadLetterTopic, may))),
      ...consumerGroups.map((group) => allow("GROUP", group, "READ")),
    ],
  };
}

/** One object by its name, never a pattern. */
const allow = (resource: "TOPIC" | "GROUP", name: string, operation: string): KafkaAcl => {
  return { resource, name, pattern: "LITERAL", operation, permission: "ALLOW", host: "*" };
};
