import { randomBytes } from "node:crypto";
import { afterAll, describe, expect, test } from "vitest";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import { topicPasses } from "../../test/support/topic-passes.ts";
import type { KafkaTopics } from "../external/kafka-topic.ts";

const { newTopic, create, close, topics } = topicPasses();
afterAll(() => close());

const conditionOf = ({ status }: AuditTopic, type: string) => status?.conditions?.find((found) => found.type === type);
const ready = (resource: AuditTopic) => conditionOf(resource, "Ready");
const idOf = async (name: string) => (await topics.observe(name))?.topicId;
const newNamespace = () => `t-${randomBytes(5).toString("hex")}`;
const setByHand = (name: string, set: Record<string, string>) => topics.apply({ kind: "SetConfig", name, set });
/** What the default spec of these tests asks for. */
const asAsked = {
  "cleanup.policy": "delete",
  "retention.ms": "604800000",
  "compression.type": "producer",
  "max.message.bytes": "1048576",
  "message.timestamp.type": "LogAppendTime",
};
const confirmed = { "auditpipeline.io/confirm-delete": "audit" };

test("a topic of ours that was only observed for a while is ours again, and its successor is not", async () => {
  const spec = { deadLetter: { enabled: false } };
  const topic = newTopic(spec);
  expect((await topic.pass()).status).toMatchObject({ ownership: "Created" });
  topic.change({ ...spec, managementPolicy: "Observe" });
  await topic.pass();
  expect((await topic.pass()).status).toMatchObject({ ownership: "Observed", formerOwnership: "Created" });
  topic.change(spec);
  const back = await topic.pass();
  expect(ready(back)?.status).toBe("True");
  expect(back.status).toMatchObject({ ownership: "Created" });
  expect(back.status?.formerOwnership).toBeUndefined();

  topic.change({ ...spec, managementPolicy: "Observe" });
  await topic.pass();
  await topics.delete({ name: topic.name, topicId: (await idOf(topic.name)) ?? "" });
  await create(topic.name);
  await topic.pass();
  topic.change(spec);
  expect(ready(await topic.pass())?.reason).toBe("TopicConflict");
});

describe("adoptionPolicy", () => {
  test("Never leaves a topic that is there, and says what it is", async () => {
    const topic = newTopic();
    await create(topic.name, 3);
    const found = ready(await topic.pass());
    expect(found).toMatchObject({ reason: "TopicConflict" });
    expect(found?.message).toContain(`id ${await idOf(topic.name)}, 3 partitions, replication factor 1`);
  });

  test("IfIdentical takes over what matches, and names each difference of what does not", async () => {
    const same = newTopic({ adoptionPolicy: "IfIdentical", deadLetter: { enabled: false } });
    await create(same.name, 1, asAsked);
    expect((await same.pass()).status).toMatchObject({ ownership: "Adopted", topicId: await idOf(same.name) });
    expect(same.events).toEqual(["Adopted"]);
    await same.pass();
    expect(same.events).toEqual(["Adopted"]);

    const other = newTopic({ adoptionPolicy: "IfIdentical", deadLetter: { enabled: false } });
    await create(other.name, 2, { ...asAsked, "retention.ms": "1000" });
    const refused = ready(await other.pass());
    expect(refused).toMatchObject({ reason: "TopicConflict" });
    expect(refused?.message).toContain("partitions is 2 (wanted 1), retention.ms is 1000 (wanted 604800000)");
    expect((await topics.observe(other.name))?.config["retention.ms"]).toBe("1000");
  });

  test("Always takes over and corrects, but for partitions, which never shrink", async () => {
    const topic = newTopic({ adoptionPolicy: "Always", partitions: 2, deadLetter: { enabled: false } });
    await create(topic.name, 1, { "retention.ms": "1000" });
    expect(ready(await topic.pass())?.status).toBe("True");
    expect(await topics.observe(topic.name)).toMatchObject({ partitions: 2, config: asAsked });

    const large = newTopic({ adoptionPolicy: "Always", deadLetter: { enabled: false } });
    await create(large.name, 3);
    const after = await large.pass();
    expect(after.status).toMatchObject({ ownership: "Adopted", partitions: 3 });
    expect(ready(after)).toMatchObject({ reason: "PartitionsCannotShrink" });
  });

  test.for([
    { name: "with Always and everything confirmed", later: "Always", confirm: true, deleted: true },
    { name: "without the annotation", later: "Always", confirm: false, deleted: false },
    { name: "after adoption was taken back", later: "Never", confirm: true, deleted: false },
  ])("an adopted topic is deleted $name: $deleted", async ({ later, confirm, deleted }) => {
    const spec = { adoptionPolicy: "Always", deletionPolicy: "Delete", deadLetter: { enabled: false } };
    const topic = newTopic(spec);
    await create(topic.name);
    await topic.pass();
    topic.change({ ...spec, adoptionPolicy: later });
    if (confirm) topic.annotate(confirmed);
    expect(await topic.finalize()).toEqual([`${deleted ? "Deleted" : "Retained"} ${topic.name}`]);
    expect((await idOf(topic.name)) === undefined).toBe(deleted);
  });
});

/** Brokers that must not be written to. */
const readOnly: Partial<KafkaTopics> = {
  apply: async (action) => Promise.reject(new Error(`wrote: ${action.kind}`)),
  delete: async () => Promise.reject(new Error("deleted")),
};

describe("managementPolicy Observe", () => {
  const observing = { managementPolicy: "Observe", deadLetter: { enabled: false } };

  test("waits for the topic, tells of it, and lets go of it, without a write", async () => {
    const topic = newTopic({ ...observing, deletionPolicy: "Delete", partitions: 9 });
    topic.annotate(confirmed);
    expect(ready(await topic.pass({ topics: readOnly }))).toMatchObject({ reason: "TopicMissing", status: "False" });
    expect(conditionOf(topic.resource(), "Stalled")).toBeUndefined();

    await create(topic.name, 2, { "message.timestamp.type": "LogAppendTime" });
    const found = await topic.pass({ topics: readOnly });
    expect(ready(found)).toMatchObject({ status: "True", reason: "Succeeded" });
    const topicId = await idOf(topic.name);
    expect(found.status).toMatchObject({ ownership: "Observed", partitions: 2, replicationFactor: 1, topicId });
    expect(await topic.finalize({ topics: readOnly })).toEqual([]);
  });

  test("tells that the records carry the producer's time", async () => {
    const topic = newTopic(observing);
    await create(topic.name);
    expect(ready(await topic.pass())).toMatchObject({ status: "True", reason: "RecordTimeUntrusted" });
  });

  test("has a dead-letter topic of its own, which goes with it while the topic stays", async () => {
    const topic = newTopic({ managementPolicy: "Observe", deletionPolicy: "Delete" });
    await create(topic.name);
    expect((await topic.pass()).status).toMatchObject({ ownership: "Observed", deadLetter: { ownership: "Created" } });
    topic.annotate(confirmed);
    expect(await topic.finalize()).toEqual([`Deleted ${topic.name}.dlq`]);
    expect(await idOf(topic.name)).toBeDefined();
  });

  test("notices that the topic is gone or another one, and follows only when told to", async () => {
    const topic = newTopic(observing);
    await create(topic.name);
    const before = (await topic.pass()).status?.topicId ?? "";
    await topics.delete({ name: topic.name, topicId: before });
    expect(ready(await topic.pass())).toMatchObject({ status: "False", reason: "TopicMissing" });
    await create(topic.name);
    const other = await topic.pass({ topics: readOnly });
    expect(ready(other)).toMatchObject({ status: "False", reason: "TopicRecreated" });
    expect(other.status?.topicId).toBe(before);

    const topicId = (await idOf(topic.name)) ?? "";
    topic.annotate({ "auditpipeline.io/accept-topic-id": topicId });
    expect((await topic.pass()).status).toMatchObject({ topicId, replaces: before });
    expect(ready(topic.resource())?.status).toBe("True");
    expect(conditionOf(topic.resource(), "DriftDetected")).toBeUndefined();
  });
});

describe("driftPolicy", () => {
  test("Correct puts a setting back, and an event says what it was", async () => {
    const topic = newTopic({ deadLetter: { enabled: false } });
    await topic.pass();
    await setByHand(topic.name, { "retention.ms": "1000" });
    const after = await topic.pass();
    expect(topic.events).toEqual(["DriftCorrected"]);
    expect(conditionOf(after, "DriftDetected")).toBeUndefined();
    expect((await topics.observe(topic.name))?.config["retention.ms"]).toBe("604800000");
  });

  test("Report leaves it and lists it, while a change of the spec is applied", async () => {
    const spec = { driftPolicy: "Report", deadLetter: { enabled: false } };
    const topic = newTopic(spec);
    await topic.pass();
    await setByHand(topic.name, { "retention.ms": "1000" });
    const drifted = await topic.pass({ topics: readOnly });
    expect(conditionOf(drifted, "DriftDetected")).toMatchObject({ status: "True", reason: "TopicDrift" });
    expect(conditionOf(drifted, "DriftDetected")?.message).toContain("retention.ms is 1000 (wanted 604800000)");
    topic.change({ ...spec, retention: { time: "1h" } });
    expect(conditionOf(await topic.pass(), "DriftDetected")).toBeUndefined();
    expect((await topics.observe(topic.name))?.config["retention.ms"]).toBe("3600000");
  });

  test("partitions added by hand are no secret under either", async () => {
    for (const driftPolicy of ["Correct", "Report"]) {
      const topic = newTopic({ driftPolicy, deadLetter: { enabled: false } });
      await topic.pass();
      await topics.apply({ kind: "AddPartitions", name: topic.name, from: 1, to: 2 });
      const after = await topic.pass();
      expect(ready(after)).toMatchObject({ status: "False", reason: "PartitionsCannotShrink" });
      expect(conditionOf(after, "DriftDetected")?.message).toContain("partitions is 2 (wanted 1)");
    }
  });
});

describe("a topic of ours that somebody deleted", () => {
  test("is made again, and the condition stays until a person has seen it", async () => {
    const topic = newTopic();
    const before = (await topic.pass()).status?.topicId ?? "";
    await topics.delete({ name: topic.name, topicId: before });
    const after = await topic.pass();
    expect(after.status).toMatchObject({ replaces: before, topicId: await idOf(topic.name) });
    expect(topic.events).toEqual(["TopicMissing"]);
    for (let pass = 0; pass < 2; pass++) {
      expect(conditionOf(await topic.pass(), "DriftDetected")).toMatchObject({ reason: "TopicMissing" });
    }
    topic.annotate({ "auditpipeline.io/accept-topic-id": after.status?.topicId ?? "" });
    expect(conditionOf(await topic.pass(), "DriftDetected")).toBeUndefined();
  });

  test("is not made again where drift is only reported", async () => {
    const topic = newTopic({ driftPolicy: "Report" });
    const before = (await topic.pass()).status?.topicId ?? "";
    await topics.delete({ name: topic.name, topicId: before });
    expect(ready(await topic.pass({ topics: readOnly }))).toMatchObject({ status: "False", reason: "TopicMissing" });
  });

  test("is ours again after a person accepted what somebody made in its place", async () => {
    const topic = newTopic();
    const before = (await topic.pass()).status?.topicId ?? "";
    await topics.delete({ name: topic.name, topicId: before });
    await create(topic.name);
    const refused = await topic.pass();
    expect(ready(refused)).toMatchObject({ reason: "TopicRecreated" });
    topic.annotate({ "auditpipeline.io/accept-topic-id": (await idOf(topic.name)) ?? "" });
    expect(ready(await topic.pass())?.status).toBe("True");
    expect(topic.status()).toMatchObject({ ownership: "Adopted", replaces: before });
  });
});

describe("two resources that mean one topic", () => {
  const free = { backend: { namePrefix: "" } };
  const pair = (specs: [object, object], namespaces: [string, string]) => {
    const present: { object: () => AuditTopic; gone: boolean }[] = [];
    const others = () => present.filter(({ gone }) => !gone).map(({ object }) => object());
    const made = specs.map((spec, index) => {
      const createdAt = `2026-11-23T10:00:0${index}Z`;
      const topic = newTopic(spec, {
        ...free,
        others,
        createdAt,
        name: `r${index}`,
        namespace: namespaces[index] ?? "",
      });
      present.push({ object: topic.resource, gone: false });
      return topic;
    });
    const [older, younger] = made;
    if (older === undefined || younger === undefined) throw new Error("two were asked for");
    return { older, younger, removeOlder: () => present[0] !== undefined && (present[0].gone = true) };
  };

  test.for([
    { name: "the same name", specs: (n: string) => [{ topicName: n }, { topicName: n }] },
    {
      name: "a topic and a dead-letter topic",
      specs: (n: string) => [{ topicName: `${n}.dlq`, deadLetter: { enabled: false } }, { topicName: n }],
    },
    {
      name: "names that Kafka cannot tell apart",
      specs: (n: string) => [{ topicName: `${n}.a` }, { topicName: `${n}_a`, deadLetter: { topicName: `${n}.d` } }],
    },
  ])("$name: the older wins, the younger says who and follows when it goes", async ({ specs }) => {
    const namespace = newNamespace();
    const [first = {}, second = {}] = specs(`x-${namespace}`);
    const { older, younger, removeOlder } = pair([first, second], [namespace, namespace]);
    expect(ready(await older.pass())?.status).toBe("True");
    const yielded = ready(await younger.pass());
    expect(yielded).toMatchObject({ status: "False", reason: "TopicConflict" });
    expect(yielded?.message).toContain("AuditTopic r0, which is older");
    expect(ready(await older.pass())?.status).toBe("True");

    older.change({ ...first, deletionPolicy: "Delete" });
    older.annotate({ "auditpipeline.io/confirm-delete": "r0" });
    await older.finalize();
    removeOlder();
    expect(ready(await younger.pass())?.status).toBe("True");
  });

  test("what the older one adopted is not deleted with the younger one that had made it", async () => {
    const [topicName, namespace] = [`x-${newNamespace()}`, newNamespace()];
    const deletes = { topicName, deletionPolicy: "Delete", deadLetter: { enabled: false } };
    const { older, younger } = pair([{ ...deletes, adoptionPolicy: "Always" }, deletes], [namespace, namespace]);
    older.change({ ...deletes, topicName: `${topicName}-else` });
    expect(ready(await younger.pass())?.status).toBe("True");
    older.change({ ...deletes, adoptionPolicy: "Always" });
    expect((await older.pass()).status?.ownership).toBe("Adopted");
    younger.annotate({ "auditpipeline.io/confirm-delete": "r1" });
    expect(await younger.finalize()).toEqual([`Retained ${topicName}`]);
    expect(await idOf(topicName)).toBe(older.status()?.topicId);
  });

  test("another namespace's resource is not named", async () => {
    const topicName = `x-${newNamespace()}`;
    const [mine, theirs] = [newNamespace(), newNamespace()];
    const { younger } = pair([{ topicName }, { topicName }], [theirs, mine]);
    const yielded = ready(await younger.pass());
    expect(yielded?.message).toContain("a resource of another namespace");
    expect(yielded?.message).not.toContain(theirs);
  });
});

describe("grants", () => {
  const foreign = async () => {
    const name = `orders-${newNamespace()}`;
    await create(name, 1, asAsked);
    return name;
  };
  const spec = { adoptionPolicy: "IfIdentical", deletionPolicy: "Delete", deadLetter: { enabled: false } };
  const granted = (topicName: string, verbs: ("Observe" | "Adopt" | "Delete")[]) => {
    const namespace = newNamespace();
    return { namespace, backend: { grants: [{ namespace, names: [topicName], verbs }] } };
  };

  test.for([
    { management: "Observe", verbs: ["Observe"], allowed: true },
    { management: "Observe", verbs: ["Adopt", "Delete"], allowed: false },
    { management: "Manage", verbs: ["Adopt"], allowed: true },
    { management: "Manage", verbs: ["Observe", "Delete"], allowed: false },
  ] as const)(
    "$verbs lets $management of a name outside the prefix: $allowed",
    async ({ management, verbs, allowed }) => {
      const topicName = await foreign();
      const topic = newTopic({ ...spec, topicName, managementPolicy: management }, granted(topicName, [...verbs]));
      const found = ready(await topic.pass());
      if (allowed) expect(found?.status).toBe("True");
      else expect(found).toMatchObject({ reason: "NameNotAllowed", message: expect.stringContaining("grant to") });
    },
  );

  test("deletion of an adopted topic takes a verb of its own", async () => {
    for (const verbs of [["Adopt"], ["Adopt", "Delete"]] as const) {
      const topicName = await foreign();
      const topic = newTopic({ ...spec, topicName }, granted(topicName, [...verbs]));
      await topic.pass();
      topic.annotate(confirmed);
      expect(await topic.finalize()).toEqual([`${verbs.length === 2 ? "Deleted" : "Retained"} ${topicName}`]);
    }
  });

  test("never lets a topic be made, and puts the dead-letter topic into the prefix", async () => {
    const missing = `absent-${newNamespace()}`;
    const topic = newTopic({ ...spec, topicName: missing }, granted(missing, ["Adopt"]));
    expect(ready(await topic.pass())).toMatchObject({ reason: "TopicMissing" });
    expect(await topics.observe(missing)).toBeUndefined();

    const topicName = await foreign();
    const observing = newTopic({ topicName, managementPolicy: "Observe" }, granted(topicName, ["Observe"]));
    expect((await observing.pass()).status?.deadLetter?.topicName).toBe(`${observing.name}.dlq`);
  });
});
