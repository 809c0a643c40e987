import { setTimeout as sleep } from "node:timers/promises";
import { type Admin, ConfigResourceTypes, IncrementalAlterConfigOperationTypes } from "@platformatic/kafka";
import type { Topic } from "../desired/kafka-topic.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { ObservedTopic, TopicAction } from "../plan/kafka-topic.ts";
import type { External } from "./external.ts";
import { fromKafka, hasApiId, isUnknownTopic } from "./kafka-errors.ts";
import { type KafkaOffsets, kafkaOffsets } from "./kafka-offsets.ts";

/** A topic by name, and the id it must still have. */
export interface TopicRef {
  readonly name: string;
  readonly topicId: string;
}

export interface KafkaTopics extends Omit<External<ObservedTopic, TopicAction>, "delete">, KafkaOffsets {
  /** Gone, or there under another id: nothing is deleted, and that is success. */
  delete(topic: TopicRef): Promise<void>;
}

/** How long the brokers may take to show what the controller has done. */
const VISIBLE_WITHIN_MS = 10_000;
const LOOK_EVERY_MS = 100;

export function kafkaTopics(admin: Admin): KafkaTopics {
  // The client merges createPartitions calls that run at the same time, whatever their topics: one after the other.
  let growing: Promise<unknown> = Promise.resolve();

  async function observe(name: string): Promise<ObservedTopic | undefined> {
    try {
      const config = await describeConfig(admin, name);
      const { topics } = await admin.metadata({ topics: [name], forceUpdate: true, autocreateTopics: false });
      const found = topics.get(name);
      if (found === undefined) return undefined;
      return {
        name,
        topicId: found.id,
        partitions: found.partitionsCount,
        replicationFactor: found.partitions[0]?.replicas.length ?? 0,
        config,
      };
    } catch (error) {
      if (isUnknownTopic(error)) return undefined;
      return fromKafka(error, `Looking at topic ${name}`);
    }
  }

  async function create({ name, partitions, replicationFactor, config }: Topic): Promise<void> {
    const configs = Object.entries(config).flatMap(([key, value]) => (value === null ? [] : [{ name: key, value }]));
    try {
      await admin.createTopics({ topics: [{ topic: name, partitions, replicas: replicationFactor }], configs });
    } catch (error) {
      if (hasApiId(error, "TOPIC_ALREADY_EXISTS")) throw conflict(name, error);
      fromKafka(error, `Creating topic ${name}`);
    }
    // From here on it is there: what fails now says nothing of the create.
    await until(`Topic ${name}`, async () => (await observe(name))?.partitions === partitions).catch(unseen(name));
  }

  async function addPartitions(name: string, count: number): Promise<void> {
    growing = growing
      .catch(() => undefined)
      .then(() => admin.createPartitions({ topics: [{ name, count }] }))
      .catch((error: unknown) => fromKafka(error, `Adding partitions to topic ${name}`));
    await growing;
    await until(`Partitions of topic ${name}`, async () => ((await observe(name))?.partitions ?? 0) >= count);
  }

  async function setConfig(name: string, set: Readonly<Record<string, string>>): Promise<void> {
    const before = (await observe(name))?.config ?? {};
    const configs = Object.entries(set).map(([key, value]) => ({
      name: key,
      value,
      configOperation: IncrementalAlterConfigOperationTypes.SET,
    }));
    const resource = { resourceType: ConfigResourceTypes.TOPIC, resourceName: name, configs };
    await admin
      .incrementalAlterConfigs({ resources: [resource] })
      .catch((error: unknown) => fromKafka(error, `Configuring topic ${name}`));

    await until(`Configuration of topic ${name}`, async () => {
      const now = (await observe(name))?.config ?? {};
      refuseRewritten(name, set, before, now);
      return Object.entries(set).every(([key, value]) => now[key] === value);
    });
  }

  return {
    ...kafkaOffsets(admin),
    observe,

    async apply(action) {
      switch (action.kind) {
        case "CreateTopic":
          return create(action.topic);
        case "AddPartitions":
          return addPartitions(action.name, action.to);
        case "SetConfig":
          return setConfig(action.name, action.set);
      }
    },

    async delete({ name, topicId }) {
      const found = await observe(name);
      if (found?.topicId !== topicId) return;
      try {
        await admin.deleteTopics({ topics: [name] });
      } catch (error) {
        if (!isUnknownTopic(error)) fromKafka(error, `Deleting topic ${name}`);
      }
      await until(`The end of topic ${name}`, async () => (await observe(name))?.topicId !== topicId);
    },
  };
}

async function describeConfig(admin: Admin, name: string): Promise<Record<string, string>> {
  const [described] = await admin.describeConfigs({
    resources: [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: name }],
  });
  const entries = (described?.configs ?? []).flatMap(({ name: key, value }) => (value === null ? [] : [[key, value]]));
  return Object.fromEntries(entries);
}

/** Brokers answer from their own view, which follows the controller's: right after a write they show the state before it. */
async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < VISIBLE_WITHIN_MS; waited += LOOK_EVERY_MS) {
    if (await holds()) return;
    await sleep(LOOK_EVERY_MS);
  }
  throw new WaitingError("KafkaUnreachable", `${what} is not visible yet on every broker`, { requeueAfterMs: 10_000 });
}

const unseen = (name: string) => (cause: unknown) => {
  if (cause instanceof WaitingError && cause.reason === "KafkaUnreachable") throw cause;
  const message = `Topic ${name} was made and cannot be looked at: ${cause instanceof Error ? cause.message : "failed"}`;
  throw new WaitingError("KafkaUnreachable", message, { cause });
};

/** A value the broker keeps in another spelling would be written again on every pass. */
function refuseRewritten(
  topic: string,
  set: Readonly<Record<string, string>>,
  before: Readonly<Record<string, string>>,
  now: Readonly<Record<string, string>>,
): void {
  for (const [key, wanted] of Object.entries(set)) {
    const kept = now[key];
    if (kept === wanted || kept === before[key] || kept === undefined) continue;
    throw new StalledError(
      "InvalidTopicConfig",
      `spec.config[${JSON.stringify(key)}]: Kafka keeps ${JSON.stringify(wanted)} of topic ${topic} as ${JSON.stringify(kept)}; write it that way`,
    );
  }
}

/** It was not there when we looked, and the client sends a create once: so somebody else made it in between. */
const conflict = (name: string, cause: unknown) =>
  new StalledError(
    "TopicConflict",
    `Topic ${name} was made by somebody else just now; choose another topicName, or delete the topic if nobody needs it`,
    { cause },
  );
