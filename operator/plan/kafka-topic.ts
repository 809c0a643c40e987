import type { Topic } from "../desired/kafka-topic.ts";
import type { Plan } from "./plan.ts";

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
 * adopted; `intent`, the name about to be created, written before the create and removed after it, and also removed when
 * the create answers TopicConflict. `retainedTopicId` comes from the receipt of an earlier resource of the same name.
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
export function planTopic(
  _desired: Topic,
  _observed: ObservedTopic | undefined,
  _claim: TopicClaim,
): Plan<TopicAction> {
  throw new Error("not yet");
}
