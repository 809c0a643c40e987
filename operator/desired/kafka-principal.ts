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

/** The two names of a pipeline's user, in force in turn. */
export type PrincipalNames = readonly [first: string, second: string];

/**
 * The user of a pipeline: Kafka has no room for a marker, so the name says whose it is. Injective: neither a namespace
 * nor a pipeline's name has a dot or a `_`, so the last two parts are theirs. At most 202 characters.
 */
export function principalNames({
  clusterId,
  pipeline,
}: Pick<PrincipalInput, "clusterId" | "pipeline">): PrincipalNames {
  const name = `audit-pipeline.${plainId(clusterId)}.${pipeline.namespace}.${pipeline.name}`;
  return [name, `${name}_b`];
}

export const otherName = ([first, second]: PrincipalNames, username: string) => (username === first ? second : first);

/** SASL and ACLs give some characters a meaning (`,`, `=`, `:`); a `~` is in no id that is taken as it is. */
const plainId = (clusterId: string) =>
  /^[A-Za-z0-9._-]+$/.test(clusterId)
    ? clusterId
    : `~${createHash("sha256").update(clusterId).digest("hex").slice(0, 32)}`;

/** The least that a sink can work with: it reads its topic in its groups, and writes what it cannot store elsewhere. */
export function desiredRights(input: Omit<PrincipalInput, "clusterId" | "pipeline">): KafkaAcl[] {
  const { topicName, deadLetterTopic, consumerGroups } = input;
  return [
    allow("TOPIC", topicName, "READ"),
    allow("TOPIC", topicName, "DESCRIBE"),
    ...(deadLetterTopic === undefined ? [] : ["WRITE", "DESCRIBE"].map((may) => allow("TOPIC", deadLetterTopic, may))),
    ...consumerGroups.map((group) => allow("GROUP", group, "READ")),
  ];
}

/** One object by its name, never a pattern. */
const allow = (resource: "TOPIC" | "GROUP", name: string, operation: string): KafkaAcl => {
  return { resource, name, pattern: "LITERAL", operation, permission: "ALLOW", host: "*" };
};
