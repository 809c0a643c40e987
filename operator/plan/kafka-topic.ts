import type { Topic, TopicPolicy } from "../desired/kafka-topic.ts";
import type { Plan, Refusal } from "./plan.ts";
import { type Difference, differences, differencesText } from "./topic-differences.ts";

export interface ObservedTopic {
  readonly name: string;
  /** A UUID in its 36-character form, as the ledger keeps it. */
  readonly topicId: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Effective values, wherever they come from (topic, broker, default). */
  readonly config: Readonly<Record<string, string>>;
}

export type TopicOwnership = "Created" | "Adopted" | "Observed";

/**
 * What we know of a topic's ownership. Kafka has no labels, so it stands in our status: `topicId` once created, adopted
 * or observed, and which of these; `intent`, the name about to be created, written before the create and removed when
 * the topic is seen, or when it is certain that no create of ours has made one. `retained` comes from the receipt of an
 * earlier resource of the same name.
 */
export interface TopicClaim {
  readonly topicId?: string | undefined;
  /** Of `topicId`; default Created. */
  readonly ownership?: TopicOwnership | undefined;
  /** Of `topicId`, before it was only observed; nobody else has it. */
  readonly formerly?: "Created" | "Adopted" | undefined;
  readonly intent?: string | undefined;
  readonly retained?: { readonly topicId: string; readonly ownership?: "Created" | "Adopted" } | undefined;
  /** Ids that a person accepts in place of `topicId`. */
  readonly accepted?: readonly string[] | undefined;
  /** Everything the spec asks for was applied before: what differs now was changed by hand. */
  readonly settled?: boolean | undefined;
}

export type TopicAction =
  /** `replaces`: the id of a topic of ours that somebody deleted; say so in an event. */
  | { readonly kind: "CreateTopic"; readonly topic: Topic; readonly replaces?: string }
  | { readonly kind: "AddPartitions"; readonly name: string; readonly from: number; readonly to: number }
  | { readonly kind: "SetConfig"; readonly name: string; readonly set: Readonly<Record<string, string>> };

export interface TopicPlan extends Plan<TopicAction> {
  /** Whose the topic is from now on. Absent: not ours, or not there. */
  readonly ownership?: TopicOwnership;
  /** Changed by hand, and undone by the actions. */
  readonly corrected: readonly Difference[];
  /** Changed by hand, and left. */
  readonly drift: readonly Difference[];
  /** The topic is not there and not ours to make: what to wait for. */
  readonly awaits?: string;
}

const NOTHING = { actions: [], refusals: [], corrected: [], drift: [] } as const;

/** Refusals: TopicConflict, TopicRecreated (nothing is done), PartitionsCannotShrink, ReplicationFactorChange (the rest is). */
export function planTopic(
  desired: Topic,
  observed: ObservedTopic | undefined,
  claim: TopicClaim,
  policy: TopicPolicy,
): TopicPlan {
  if (observed === undefined) return planMissing(desired, claim, policy);
  const held = policy.management === "Observe" ? observing(observed, claim) : holding(desired, observed, claim, policy);
  if (typeof held !== "string") return { ...NOTHING, refusals: [held] };
  return held === "Observed" ? { ...NOTHING, ownership: held } : planOwn(desired, observed, claim, policy, held);
}

function planMissing(desired: Topic, claim: TopicClaim, { management, drift, mayCreate }: TopicPolicy): TopicPlan {
  const replaces = ownId(claim);
  const gone = claim.topicId === undefined ? "is not there" : `(id ${claim.topicId}) is gone, with all it held`;
  const awaits = (why: string) => ({ ...NOTHING, awaits: `Topic ${desired.name} ${gone}: ${why}` });
  if (management === "Observe") return awaits("it is only observed, so it is not made; it is looked for again");
  if (!mayCreate) return awaits("its name lies outside the back-end's namePrefix, so it is adopted and never made");
  if (replaces !== undefined && drift === "Report" && claim.intent === undefined) {
    return awaits("driftPolicy is Report, so it is not made again; set it to Correct to have it made");
  }
  const action: TopicAction = {
    kind: "CreateTopic",
    topic: desired,
    ...(replaces === undefined ? {} : { replaces }),
  };
  return { ...NOTHING, actions: [action] };
}

function planOwn(
  desired: Topic,
  observed: ObservedTopic,
  claim: TopicClaim,
  policy: TopicPolicy,
  ownership: "Created" | "Adopted",
): TopicPlan {
  const refusals = [...shrink(desired, observed), ...replication(desired, observed)];
  const found = claim.settled === true ? differences(desired, observed) : [];
  if (claim.settled === true && policy.drift === "Report") {
    return { ...NOTHING, ownership, refusals, drift: found };
  }
  const canGrow = observed.partitions < desired.partitions;
  const canUndo = ({ what }: Difference) => what !== "replicationFactor" && (what !== "partitions" || canGrow);
  return {
    ownership,
    refusals,
    actions: [...growth(desired, observed), ...configChange(desired, observed)],
    corrected: found.filter(canUndo),
    drift: found.filter((difference) => !canUndo(difference)),
  };
}

/** What was only observed is nobody of ours. */
const ownId = ({ topicId, ownership }: TopicClaim) => (ownership === "Observed" ? undefined : topicId);

const isAccepted = ({ topicId, accepted = [] }: TopicClaim, id: string) =>
  topicId !== undefined && accepted.includes(id);

function observing({ name, topicId }: ObservedTopic, claim: TopicClaim): "Observed" | Refusal {
  const isKnown = claim.topicId === undefined || claim.topicId === topicId || isAccepted(claim, topicId);
  return isKnown ? "Observed" : recreated(name, topicId, claim.topicId);
}

/** How a topic that is there is ours, or why it is not. */
function holding(
  desired: Topic,
  observed: ObservedTopic,
  claim: TopicClaim,
  { adoption }: TopicPolicy,
): "Created" | "Adopted" | Refusal {
  const { topicId, name } = observed;
  if (claim.intent === name) return "Created";
  if (topicId === ownId(claim)) return claim.ownership === "Adopted" ? "Adopted" : "Created";
  if (topicId === claim.topicId && claim.formerly !== undefined) return claim.formerly;
  if (topicId === claim.retained?.topicId) return claim.retained.ownership ?? "Created";
  const before = ownId(claim);
  // Accepted while it was only observed is not accepted as ours.
  if (before !== undefined && isAccepted(claim, topicId)) return "Adopted";
  if (before !== undefined) return recreated(name, topicId, before);
  const unlike = differences(desired, observed);
  if (adoption === "Always" || (adoption === "IfIdentical" && unlike.length === 0)) return "Adopted";
  return conflict(observed, adoption === "Never" ? undefined : unlike);
}

const recreated = (name: string, topicId: string, before: string): Refusal => ({
  reason: "TopicRecreated",
  message: `Topic ${name} has id ${topicId}, not ${before}: somebody deleted it and made another; delete the new one, or accept it with annotation auditpipeline.io/accept-topic-id: ${topicId}`,
});

function conflict(
  { name, topicId, partitions, replicationFactor }: ObservedTopic,
  unlike: readonly Difference[] | undefined,
): Refusal {
  const there = `Topic ${name} exists already (id ${topicId}, ${partitions} partitions, replication factor ${replicationFactor}) and was not made by this resource`;
  const why =
    unlike === undefined
      ? "adoptionPolicy is Never: choose another topicName, or set IfIdentical or Always to take it over"
      : `adoptionPolicy is IfIdentical, and it differs: ${differencesText(unlike)}; bring the spec to what is there, or set Always to have the topic corrected`;
  return { reason: "TopicConflict", message: `${there}; ${why}` };
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
