import { AUDIT_TOPIC, type AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import type { OperatorConfig } from "../config.ts";
import { desiredTopics } from "../desired/kafka-topic.ts";
import type { Refusal } from "../plan/plan.ts";
import { type Claimant, olderClaimant } from "../plan/topic-rivals.ts";
import type { Key } from "../runtime/controller.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import { kafkaBackendOf, siteOf } from "./backends.ts";

/** What other AuditTopics have to do with the topics of one. */
export interface Rivals {
  /** Another resource that claims the topic and came first. */
  over(topic: string): Refusal | undefined;
  /** Another resource has taken over the topic of this id. */
  has(topicId: string | undefined): boolean;
}

/** In all namespaces: on a back-end with an empty namePrefix, and by grants, two can mean the same topic. */
export async function rivalsOf(resource: AuditTopic, config: OperatorConfig, store: ObjectStore): Promise<Rivals> {
  const { items } = await store.list<AuditTopic>(AUDIT_TOPIC.kind);
  const all = items.flatMap((item) => claimantOf(item, config, store) ?? []);
  const mine = claimantOf(resource, config, store);
  return {
    over: (topic) => {
      const first = mine && olderClaimant(topic, mine, all);
      return first && refusal(topic, first, resource.metadata.namespace);
    },
    has: (topicId) => items.some((item) => item.metadata.uid !== resource.metadata.uid && holds(item, topicId)),
  };
}

/** Those that yielded to another resource: it may have gone. Known by their status, since a resource that is gone has no spec. */
export async function waitingRivals(changed: KubeObject, store: ObjectStore): Promise<Key[]> {
  const { items } = await store.list<AuditTopic>(AUDIT_TOPIC.kind);
  const yielded = items.filter(({ metadata, status }) => {
    const stalled = status?.conditions?.find(({ type }) => type === "Stalled");
    return stalled?.reason === "TopicConflict" && metadata.uid !== changed.metadata.uid;
  });
  return yielded.map(({ metadata }) => metadata);
}

const holds = ({ status }: AuditTopic, id: string | undefined) =>
  id !== undefined &&
  [status, status?.deadLetter].some((known) => known?.topicId === id && known.ownership !== "Observed");

/**
 * Nobody has checked the specs of others: one that nothing can be made from stops no neighbour. What a resource holds by
 * id stays its claim also where the platform no longer allows the name, or the back-end.
 */
function claimantOf(item: AuditTopic, config: OperatorConfig, store: ObjectStore): Claimant | undefined {
  try {
    const { backendRef, connection } = siteOf(item);
    if (connection !== undefined) {
      // A connection of one's own may name anybody's brokers, and any topic: what stands there says whose it is.
      const { bootstrapServers } = kafkaBackendOf(config, siteOf(item), store);
      return { ...item.metadata, servers: bootstrapServers, topics: [] };
    }
    const backend = config.backends.kafka.find(({ name }) => name === (backendRef?.name ?? "default"));
    if (backend === undefined) return undefined;
    const topics = new Set([...wanted(item, config, store), ...had(item)]);
    return { ...item.metadata, servers: backend.bootstrapServers, topics: [...topics] };
  } catch {
    return undefined;
  }
}

/** What it means by its spec, as far as the platform allows it. */
function wanted(item: AuditTopic, config: OperatorConfig, store: ObjectStore): string[] {
  try {
    const { metadata, spec } = item;
    const { topic, deadLetter } = desiredTopics(metadata, spec, kafkaBackendOf(config, siteOf(item), store));
    const claimed = spec.managementPolicy === "Observe" ? [deadLetter] : [topic, deadLetter];
    return claimed.flatMap((each) => each?.name ?? []);
  } catch {
    return [];
  }
}

const had = ({ status }: AuditTopic): string[] =>
  [status, status?.deadLetter].flatMap((known) =>
    known?.ownership === "Observed" || known?.topicId === undefined ? [] : (known.topicName ?? []),
  );

/** The owner is named to its own namespace alone: what others have is not a tenant's to know. */
function refusal(topic: string, owner: Claimant, namespace: string): Refusal {
  const who = owner.namespace === namespace ? `AuditTopic ${owner.name}` : "a resource of another namespace";
  return {
    reason: "TopicConflict",
    message: `Topic ${topic}, or a name that Kafka cannot tell from it, is claimed by ${who}, which is older; choose another name, or delete the other resource`,
  };
}
