import type { Topic } from "../desired/kafka-topic.ts";
import type { Plan, Refusal } from "./plan.ts";

export interface ObservedTopic {
  readonly name: string;
  /** A UUID in its 36-character form, as the ledger keeps it. */
  readonly topicId: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Effective values, wherever they come from (topic, broker, default). */
  readonly config: Readonly<Record<string, string>>;
}

/**
 * What we know of a topic's ownership. Kafka has no labels, so it stands in our status: `topicId` once created or
 * adopted; `intent`, the name about to be created, written before the create and removed when the topic is seen, or when
 * it is certain that no create of ours has made one. `retainedTopicId` comes from the receipt of an earlier resource of
 * the same name.
 */
export interface TopicClaim {
  readonly topicId?: string | undefined;
  readonly intent?: string | undefined;
  readonly retainedTopicId?: string | undefined;
}

export type TopicAction =
  /** `replaces`: the id of a topic of ours that somebody deleted; say so in an event. */
  | { readonly kind: "CreateTopic"; readonly topic: Topic; readonly replaces?: string }
  | { readonly kind: "AddPartitions"; readonly name: string; readonly from: number; readonly to: number }
  | { readonly kind: "SetConfig"; readonly name: string; readonly set: Readonly<Record<string, string>> };

/** Refusals: TopicConflict, TopicRecreated (nothing is done), PartitionsCannotShrink, ReplicationFactorChange (the rest is). */
export function planTopic(desired: Topic, observed: ObservedTopic | undefined, claim: TopicClaim): Plan<TopicAction> {
  if (observed === undefined) {
    const replaces = claim.topicId === undefined ? {} : { replaces: claim.topicId };
    return { actions: [{ kind: "CreateTopic", topic: desired, ...replaces }], refusals: [] };
  }
  const foreign = refuseForeign(observed, claim);
  if (foreign !== undefined) return { actions: [], refusals: [foreign] };

  return {
    actions: [...growth(desired, observed), ...configChange(desired, observed)],
    refusals: [...shrink(desired, observed), ...replication(desired, observed)],
  };
}

function refuseForeign({ name, topicId }: ObservedTopic, claim: TopicClaim): Refusal | undefined {
  const isOurs = topicId === claim.topicId || topicId === claim.retainedTopicId || claim.intent === name;
  if (isOurs) return undefined;
  if (claim.topicId !== undefined) {
    return {
      reason: "TopicRecreated",
      message: `Topic ${name} has id ${topicId}, not ${claim.topicId}: somebody deleted it and made another; delete the new one to have it made again, or delete this resource and apply it under another topicName`,
    };
  }
  return {
    reason: "TopicConflict",
    message: `Topic ${name} exists already (id ${topicId}) and was not made by this resource; choose another topicName, or delete the topic if nobody needs it`,
  };
}

function growth({ name, partitions }: Topic, observed: ObservedTopic): TopicAction[] {
  if (partitions <= observed.partitions) return [];
  return [{ kind: "AddPartitions", name, from: observed.partitions, to: partitions }];
}

function shrink({ name, partitions }: Topic, observed: ObservedTopic): Refusal[] {
  if (partitions >= observed.partitions) return [];
  return [
    {
      reason: "PartitionsCannotShrink",
      message: `Topic ${name} has ${observed.partitions} partitions and ${partitions} are asked for: Kafka never takes partitions away; set partitions back to ${observed.partitions} or more`,
    },
  ];
}

function replication({ name, replicationFactor }: Topic, observed: ObservedTopic): Refusal[] {
  if (replicationFactor === observed.replicationFactor) return [];
  return [
    {
      reason: "ReplicationFactorChange",
      message: `Topic ${name} has replication factor ${observed.replicationFactor} and ${replicationFactor} is asked for: a change is not done by this version; set replicationFactor to ${observed.replicationFactor}, or reassign the replicas by hand`,
    },
  ];
}

/** Only keys we name that differ: everything else there belongs to somebody else. */
function configChange({ name, config }: Topic, observed: ObservedTopic): TopicAction[] {
  const set: Record<string, string> = {};
  for (const [key, value] of Object.entries(config)) {
    if (value !== null && observed.config[key] !== value) set[key] = value;
  }
  return Object.keys(set).length === 0 ? [] : [{ kind: "SetConfig", name, set }];
}
