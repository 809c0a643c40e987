import { describe, expect, test } from "vitest";
import type { Topic, TopicPolicy } from "../desired/kafka-topic.ts";
import { type ObservedTopic, planTopic, type TopicClaim } from "./kafka-topic.ts";

const desired = (over: Partial<Topic> = {}): Topic => ({
  name: "a.t",
  partitions: 6,
  replicationFactor: 1,
  config: { "retention.ms": "1000", "segment.ms": null },
  ...over,
});
const observed = (over: Partial<ObservedTopic> = {}): ObservedTopic => ({
  name: "a.t",
  topicId: "id-1",
  partitions: 6,
  replicationFactor: 1,
  config: { "retention.ms": "1000", "segment.ms": "7", "flush.ms": "9" },
  ...over,
});
const ours: TopicClaim = { topicId: "id-1" };
const policy: TopicPolicy = { management: "Manage", adoption: "Never", drift: "Correct", mayCreate: true };

describe("planTopic", () => {
  test.for([
    {
      name: "creates what is missing",
      want: desired(),
      have: undefined,
      claim: {},
      actions: ["CreateTopic"],
      refusals: [],
    },
    {
      name: "plans nothing once it matches",
      want: desired(),
      have: observed(),
      claim: ours,
      actions: [],
      refusals: [],
    },
    {
      name: "grows partitions",
      want: desired({ partitions: 9 }),
      have: observed(),
      claim: ours,
      actions: ["AddPartitions"],
      refusals: [],
    },
    {
      name: "refuses to shrink, and still does the rest",
      want: desired({ partitions: 3, config: { "retention.ms": "5" } }),
      have: observed(),
      claim: ours,
      actions: ["SetConfig"],
      refusals: ["PartitionsCannotShrink"],
    },
    {
      name: "refuses another replication factor, and still does the rest",
      want: desired({ replicationFactor: 3, partitions: 9 }),
      have: observed(),
      claim: ours,
      actions: ["AddPartitions"],
      refusals: ["ReplicationFactorChange"],
    },
    {
      name: "never takes a topic it did not make",
      want: desired({ partitions: 9 }),
      have: observed(),
      claim: {},
      actions: [],
      refusals: ["TopicConflict"],
    },
    {
      name: "never takes one by an intent for another name",
      want: desired(),
      have: observed(),
      claim: { intent: "a.u" },
      actions: [],
      refusals: ["TopicConflict"],
    },
    {
      name: "knows what it meant to make before it was stopped",
      want: desired(),
      have: observed(),
      claim: { intent: "a.t" },
      actions: [],
      refusals: [],
    },
    {
      name: "takes back what an earlier resource left",
      want: desired(),
      have: observed(),
      claim: { retained: { topicId: "id-1" } },
      actions: [],
      refusals: [],
    },
    {
      name: "leaves alone what was made again behind its back",
      want: desired({ partitions: 9 }),
      have: observed({ topicId: "id-2" }),
      claim: ours,
      actions: [],
      refusals: ["TopicRecreated"],
    },
  ])("$name", ({ want, have, claim, actions, refusals }) => {
    const plan = planTopic(want, have, claim, policy);
    expect(plan.actions.map(({ kind }) => kind)).toEqual(actions);
    expect(plan.refusals.map(({ reason }) => reason)).toEqual(refusals);
  });

  test("writes only the keys it names that differ", () => {
    const want = desired({ config: { "retention.ms": "2000", "segment.ms": null, "flush.ms": "9", "new.key": "1" } });
    expect(planTopic(want, observed(), ours, policy).actions).toEqual([
      { kind: "SetConfig", name: "a.t", set: { "retention.ms": "2000", "new.key": "1" } },
    ]);
  });

  test("says which topic of ours a new one replaces", () => {
    expect(planTopic(desired(), undefined, ours, policy).actions).toEqual([
      { kind: "CreateTopic", topic: desired(), replaces: "id-1" },
    ]);
  });
});
