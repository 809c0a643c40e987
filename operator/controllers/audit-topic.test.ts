import { afterAll, describe, expect, test } from "vitest";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { topicPasses } from "../../test/support/topic-passes.ts";
import { WaitingError } from "../errors.ts";
import type { KafkaTopics } from "../external/kafka-topic.ts";

const { newTopic, create, close, ...real } = topicPasses();
afterAll(() => close());

const ready = ({ status }: AuditTopic) => status?.conditions?.find(({ type }) => type === "Ready");
/** Brokers that do not show yet what the controller made. */
const blind: Partial<KafkaTopics> = { observe: async () => undefined };
const notVisible: Partial<KafkaTopics> = {
  async apply(action) {
    await real.topics.apply(action);
    throw new WaitingError("KafkaUnreachable", "not visible yet");
  },
};

describe("our own topics stay ours", () => {
  test("when neither create is visible in time", async () => {
    const topic = newTopic();
    await topic.pass({ topics: notVisible });
    expect(topic.status()).toMatchObject({ intent: topic.name, deadLetter: { intent: `${topic.name}.dlq` } });
    const after = await topic.pass();
    expect(ready(after)).toMatchObject({ status: "True" });
    expect(after.status?.topicId).toBe((await real.topics.observe(topic.name))?.topicId);
    expect(after.status?.deadLetter?.topicId).toBe((await real.topics.observe(`${topic.name}.dlq`))?.topicId);
    expect(after.status).not.toHaveProperty("intent");
    expect(after.status?.deadLetter).not.toHaveProperty("intent");
  });

  test("when a broker does not show for several passes what an earlier pass made", async () => {
    const topic = newTopic();
    await topic.pass({ topics: notVisible });
    for (let pass = 0; pass < 3; pass++) {
      const lagging = await topic.pass({ topics: blind });
      expect(ready(lagging)).toMatchObject({ status: "False", reason: "KafkaUnreachable" });
      expect(lagging.status?.conditions?.some(({ type }) => type === "Stalled")).toBe(false);
    }
    expect(ready(await topic.pass())).toMatchObject({ status: "True" });
  });

  test("when the operator ends between the intents and the creates, or after them", async () => {
    const topic = newTopic();
    await topic.pass({ crashAfterSaves: 1 });
    expect(topic.saved).toEqual([{ intent: topic.name, deadLetter: { intent: `${topic.name}.dlq` } }]);
    // The creates went out all the same.
    await create(topic.name);
    await create(`${topic.name}.dlq`);
    expect(ready(await topic.pass())).toMatchObject({ status: "True" });
    expect(topic.saved).toHaveLength(1);
  });

  test("when what is left to do on them fails", async () => {
    const topic = newTopic({ config: { "segment.ms": "3600000" } });
    await topic.pass({ topics: notVisible });
    topic.change({ config: { "segment.ms": "nonsense" } });
    const refused = await topic.pass();
    expect(ready(refused)).toMatchObject({ status: "False", reason: "InvalidTopicConfig" });
    expect(refused.status?.topicId).toBe((await real.topics.observe(topic.name))?.topicId);
  });
});

describe("somebody else's topic stays theirs", () => {
  test("when it was made just before our create", async () => {
    const topic = newTopic();
    await create(topic.name);
    const first = await topic.pass({ topics: blind });
    expect(ready(first)).toMatchObject({ status: "False", reason: "TopicConflict" });
    expect(first.status).not.toHaveProperty("intent");
    const second = await topic.pass();
    expect(ready(second)).toMatchObject({ status: "False", reason: "TopicConflict" });
    expect(second.status).not.toHaveProperty("topicId");
    // The dead-letter topic has no part in it.
    expect(second.status?.deadLetter?.topicId).toBeDefined();
  });

  test("when it was made after ours was refused", async () => {
    const topic = newTopic({ config: { "segment.ms": "nonsense" } });
    const refused = await topic.pass();
    expect(ready(refused)).toMatchObject({ status: "False", reason: "InvalidTopicConfig" });
    expect(refused.status).not.toHaveProperty("intent");
    await create(topic.name);
    topic.change({});
    expect(ready(await topic.pass())).toMatchObject({ status: "False", reason: "TopicConflict" });
  });

  test.for([
    { reason: "KafkaUnauthorized", kept: "of this pass", dropped: true },
    { reason: "KafkaUnreachable", kept: "of this pass", dropped: false },
  ])("$reason of a create drops the intent: $dropped", async ({ reason, dropped }) => {
    const refuse: Partial<KafkaTopics> = {
      async apply() {
        throw new WaitingError(reason, "refused");
      },
    };
    const topic = newTopic();
    const { status } = await topic.pass({ topics: refuse });
    expect({ intent: status?.intent, deadLetter: status?.deadLetter?.intent }).toEqual(
      dropped ? {} : { intent: topic.name, deadLetter: `${topic.name}.dlq` },
    );
  });

  test("a right that was lost meanwhile says nothing of an earlier create", async () => {
    const topic = newTopic();
    await topic.pass({ topics: notVisible });
    const unauthorized: Partial<KafkaTopics> = {
      ...blind,
      async apply() {
        throw new WaitingError("KafkaUnauthorized", "refused");
      },
    };
    await topic.pass({ topics: unauthorized });
    expect(ready(await topic.pass())).toMatchObject({ status: "True" });
  });

  test("when it took the place of ours", async () => {
    const topic = newTopic();
    const before = await topic.pass();
    await real.topics.delete({ name: topic.name, topicId: before.status?.topicId ?? "" });
    await create(topic.name);
    for (let pass = 0; pass < 2; pass++) {
      const after = await topic.pass();
      expect(ready(after)).toMatchObject({ status: "False", reason: "TopicRecreated" });
      expect(after.status?.topicId).toBe(before.status?.topicId);
    }
  });
});
