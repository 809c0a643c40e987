import type { AuditTopic, AuditTopicStatus } from "../../crds/v1alpha1/audit-topic.ts";
import type { Topic, TopicPolicy } from "../desired/kafka-topic.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { KafkaTopics } from "../external/kafka-topic.ts";
import { type ObservedTopic, planTopic, type TopicClaim, type TopicPlan } from "../plan/kafka-topic.ts";
import type { Refusal } from "../plan/plan.ts";
import { differencesText } from "../plan/topic-differences.ts";
import type { Tools } from "../runtime/controller.ts";
import type { TopicFinding } from "../status/audit-topic.ts";
import { refused, type Trouble } from "../status/conditions.ts";
import type { Attempts } from "./attempts.ts";

/** A topic, and why we may take it for ours. */
export interface ClaimedTopic {
  readonly desired: Topic;
  readonly claim: TopicClaim;
  readonly policy: TopicPolicy;
  /** Another resource came first. */
  readonly rival?: Refusal | undefined;
}

export interface TopicStep {
  readonly resource: AuditTopic;
  readonly topics: KafkaTopics;
  readonly tools: Tools<AuditTopic>;
  readonly attempts: Attempts;
}

interface Sight {
  readonly observed: ObservedTopic | undefined;
  readonly plan: TopicPlan;
}

/** What a look at one topic told. */
interface Look extends ClaimedTopic {
  readonly found: { readonly report: Trouble } | { readonly value: Sight };
  /** It is about to be created, and was not before this pass. */
  readonly isNew: boolean;
}

/**
 * Observes and plans both topics, writes down in one status what is about to be created, and then acts: a crash after a
 * create cannot hide whose topic it is.
 */
export async function ensureTopics(
  topic: ClaimedTopic,
  deadLetter: ClaimedTopic | undefined,
  step: TopicStep,
): Promise<{ topic: TopicFinding; deadLetter?: TopicFinding }> {
  const [topicLook, deadLetterLook] = [await lookAt(topic, step), deadLetter && (await lookAt(deadLetter, step))];
  if (topicLook.isNew || deadLetterLook?.isNew) {
    await step.tools.saveStatus(withIntents(step.resource.status, topicLook, deadLetterLook));
  }
  return {
    topic: await carryOut(topicLook, step),
    ...(deadLetterLook === undefined ? {} : { deadLetter: await carryOut(deadLetterLook, step) }),
  };
}

async function lookAt(topic: ClaimedTopic, { topics, attempts }: TopicStep): Promise<Look> {
  const { desired, claim, policy, rival } = topic;
  const found = await attempts.run(async () => {
    if (rival !== undefined) return { observed: undefined, plan: yielding(rival) };
    const observed = await topics.observe(desired.name);
    const plan = planTopic(desired, observed, claim, policy);
    if (plan.awaits === undefined) return { observed, plan };
    throw new WaitingError("TopicMissing", plan.awaits, { requeueAfterMs: 30_000 });
  });
  const creates = "value" in found && found.value.plan.actions.some(({ kind }) => kind === "CreateTopic");
  return { ...topic, found, isNew: creates && claim.intent === undefined };
}

const yielding = (rival: Refusal): TopicPlan => ({ actions: [], refusals: [rival], corrected: [], drift: [] });

const withIntents = (status: AuditTopicStatus | undefined, topic: Look, deadLetter: Look | undefined) => ({
  ...status,
  ...(topic.isNew ? { intent: topic.desired.name } : {}),
  ...(deadLetter?.isNew ? { deadLetter: { ...status?.deadLetter, intent: deadLetter.desired.name } } : {}),
});

async function carryOut(look: Look, step: TopicStep): Promise<TopicFinding> {
  const { desired, claim, found, isNew } = look;
  const intent = claim.intent ?? (isNew ? desired.name : undefined);
  const pending = intent === undefined ? {} : { intent };
  if ("report" in found) return { refusals: [], trouble: found.report, ...pending };

  const { observed, plan } = found.value;
  for (const refusal of plan.refusals) step.attempts.note(refused(refusal));
  if (plan.refusals.some(({ reason }) => FOREIGN.has(reason))) {
    return { refusals: plan.refusals, ...(look.rival === undefined ? {} : pending) };
  }

  let isRefused = false;
  const result = await step.attempts.run(async () => {
    for (const action of plan.actions) {
      step.tools.log.info({ topic: desired.name, action: action.kind }, "Applying action");
      await step.topics.apply(action).catch((error: unknown) => {
        if (action.kind !== "CreateTopic") throw error;
        isRefused = wasNotMade(error, isNew);
        throw isRefused ? error : madeBefore(error, desired.name);
      });
    }
    await announce(look, found.value, step.tools);
    return plan.actions.length === 0 ? observed : await step.topics.observe(desired.name);
  });
  // A topic that was there is ours, whatever became of the rest; one we made may not be shown yet.
  const after = ("value" in result ? result.value : undefined) ?? observed;
  return {
    refusals: plan.refusals,
    drift: plan.drift,
    ownership: plan.ownership ?? "Created",
    ...("report" in result ? { trouble: result.report } : {}),
    ...(after === undefined ? (isRefused ? {} : pending) : { observed: after }),
  };
}

const FOREIGN = new Set(["TopicConflict", "TopicRecreated"]);

/**
 * Whether a create that failed has surely made nothing, now or earlier. The controller looks first at the right, then at
 * the name, then at the settings: one that refuses the settings has seen that there is no such topic, while one that
 * refuses the right has not looked, and one that has the topic may have it from an earlier create of ours.
 */
function wasNotMade(error: unknown, isNew: boolean): boolean {
  if (!(error instanceof StalledError || error instanceof WaitingError)) return false;
  if (error.reason === "InvalidTopicConfig") return true;
  return isNew && (error.reason === "TopicConflict" || error.reason === "KafkaUnauthorized");
}

/** The topic exists after a create of ours whose end nobody saw: it shows up under our intent. */
function madeBefore(error: unknown, name: string): unknown {
  if (!(error instanceof StalledError && error.reason === "TopicConflict")) return error;
  return new WaitingError("KafkaUnreachable", `Topic ${name} exists and is not visible yet on every broker`, {
    requeueAfterMs: 2_000,
    cause: error,
  });
}

async function announce(
  { desired: { name }, claim }: ClaimedTopic,
  { observed, plan }: Sight,
  { recordEvent }: Tools<AuditTopic>,
): Promise<void> {
  for (const action of plan.actions) {
    if (action.kind !== "CreateTopic" || action.replaces === undefined) continue;
    // Somebody deleted it: what it held and nobody had stored is lost, and its successor starts at 0.
    const note = `Topic ${name} (id ${action.replaces}) was gone, with all it held; made again`;
    await recordEvent({ type: "Warning", reason: "TopicMissing", action: "Reconcile", note });
  }
  if (observed === undefined) return;
  if (claim.topicId === undefined && observed.topicId === claim.retained?.topicId) {
    const note = `Took back topic ${name}, which an earlier deletion had retained`;
    await recordEvent({ type: "Normal", reason: "Adopted", action: "Reconcile", note });
  } else if (plan.ownership === "Adopted" && (claim.ownership !== "Adopted" || claim.topicId !== observed.topicId)) {
    const note = `Took over topic ${name} (id ${observed.topicId}), which this resource did not make`;
    await recordEvent({ type: "Normal", reason: "Adopted", action: "Reconcile", note });
  }
  if (plan.corrected.length > 0) {
    const note = `Topic ${name} was changed by hand: ${differencesText(plan.corrected)}; put back`;
    await recordEvent({ type: "Warning", reason: "DriftCorrected", action: "Reconcile", note });
  }
}
