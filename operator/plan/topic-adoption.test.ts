import fc from "fast-check";
import { expect, test } from "vitest";
import type { Topic, TopicPolicy } from "../desired/kafka-topic.ts";
import { type ObservedTopic, planTopic, type TopicClaim, type TopicPlan } from "./kafka-topic.ts";
import { differences } from "./topic-differences.ts";

/** Few values each, so that what is found is often what is wanted, and an id often one that is known. */
const ids = fc.constantFrom("id-1", "id-2", "id-3");
const count = fc.integer({ min: 1, max: 3 });
const setting = fc.constantFrom("1", "2");
const desired: fc.Arbitrary<Topic> = fc.record({
  name: fc.constant("a.t"),
  partitions: count,
  replicationFactor: count,
  config: fc.record({ one: setting, two: fc.option(setting) }),
});
const observed: fc.Arbitrary<ObservedTopic> = fc.record({
  name: fc.constant("a.t"),
  topicId: ids,
  partitions: count,
  replicationFactor: count,
  config: fc.record({ one: setting, two: setting, other: setting }),
});
const claim: fc.Arbitrary<TopicClaim> = fc.record(
  {
    topicId: ids,
    ownership: fc.constantFrom("Created", "Adopted", "Observed"),
    intent: fc.constantFrom("a.t", "a.u"),
    retained: fc.record({ topicId: ids }),
    accepted: fc.array(ids, { maxLength: 2 }),
    settled: fc.boolean(),
  },
  { requiredKeys: [] },
);
const policy: fc.Arbitrary<TopicPolicy> = fc.record({
  management: fc.constantFrom("Manage", "Observe"),
  adoption: fc.constantFrom("Never", "IfIdentical", "Always"),
  drift: fc.constantFrom("Correct", "Report"),
  mayCreate: fc.boolean(),
});
const isStranger = ({ topicId, ownership, intent, retained }: TopicClaim, found: ObservedTopic) =>
  (ownership === "Observed" || topicId !== found.topicId) && intent !== "a.t" && retained?.topicId !== found.topicId;
const isNew = ({ topicId, ownership }: TopicClaim) => topicId === undefined || ownership === "Observed";

const holds = (
  claims: (
    plan: TopicPlan,
    given: { want: Topic; have: ObservedTopic; claim: TopicClaim; policy: TopicPolicy },
  ) => void,
) =>
  fc.assert(
    fc.property(desired, observed, claim, policy, (want, have, claimed, policies) => {
      claims(planTopic(want, have, claimed, policies), { want, have, claim: claimed, policy: policies });
    }),
    { numRuns: 5_000 },
  );

test("what is observed is never acted on, there or not", () => {
  holds((plan, { want, claim: known, policy: policies }) => {
    if (policies.management === "Manage") return;
    expect(plan.actions).toEqual([]);
    expect(planTopic(want, undefined, known, policies)).toMatchObject({ actions: [], awaits: expect.any(String) });
  });
});

test("a stranger's topic is ours only by Always, by IfIdentical without a difference, or by a person's word", () => {
  holds((plan, { want, have, claim: known, policy: { management, adoption } }) => {
    if (management === "Observe" || !isStranger(known, have)) return;
    const accepted = !isNew(known) && known.accepted?.includes(have.topicId) === true;
    const unlike = differences(want, have).length > 0;
    const adopts = isNew(known) && (adoption === "Always" || (adoption === "IfIdentical" && !unlike));
    expect(plan.ownership).toBe(accepted || adopts ? "Adopted" : undefined);
  });
});

test("what is not ours is not acted on, and one refusal says why", () => {
  holds((plan) => {
    if (plan.ownership !== undefined) return;
    expect(plan.actions).toEqual([]);
    expect(plan.refusals.map(({ reason }) => reason)).toHaveLength(1);
    expect(["TopicConflict", "TopicRecreated"]).toContain(plan.refusals[0]?.reason);
  });
});

test("a conflict under IfIdentical names each difference", () => {
  holds((plan, { want, have, policy: { adoption, management } }) => {
    const [refusal] = plan.refusals;
    if (refusal?.reason !== "TopicConflict" || adoption !== "IfIdentical" || management === "Observe") return;
    for (const { what } of differences(want, have)) expect(refusal.message).toContain(`${what} is `);
  });
});

test("after the actions nothing differs but what Kafka cannot change, and no partition is ever taken away", () => {
  holds((plan, { want, have, claim: known, policy: policies }) => {
    if (plan.ownership === undefined || plan.ownership === "Observed") return;
    let now = have;
    for (const action of plan.actions) {
      if (action.kind === "AddPartitions") {
        expect(action.to).toBeGreaterThan(have.partitions);
        now = { ...now, partitions: action.to };
      }
      if (action.kind === "SetConfig") now = { ...now, config: { ...now.config, ...action.set } };
    }
    const left = differences(want, now).map(({ what }) => what);
    if (known.settled === true && policies.drift === "Report") {
      expect(plan.actions).toEqual([]);
      expect(plan.drift).toEqual(differences(want, have));
    } else {
      expect(left.filter((what) => what !== "partitions" && what !== "replicationFactor")).toEqual([]);
      expect(now.partitions).toBeGreaterThanOrEqual(want.partitions);
      if (known.settled === true) expect(plan.drift.map(({ what }) => what)).toEqual(left);
    }
  });
});

test("nothing is made outside the prefix, nor again where drift is only reported", () => {
  fc.assert(
    fc.property(desired, claim, policy, (want, known, policies) => {
      const plan = planTopic(want, undefined, known, policies);
      const mayMake =
        policies.management === "Manage" &&
        policies.mayCreate &&
        (isNew(known) || policies.drift === "Correct" || known.intent !== undefined);
      expect(plan.actions.map(({ kind }) => kind)).toEqual(mayMake ? ["CreateTopic"] : []);
      expect(plan.awaits === undefined).toBe(mayMake);
    }),
  );
});
