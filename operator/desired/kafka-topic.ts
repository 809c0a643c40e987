import { isTopicName } from "../../crds/v1alpha1/names.ts";
import { parseDurationMs, parseQuantityBytes } from "../../crds/v1alpha1/shared.ts";
import type { GrantVerb, KafkaBackend } from "../config.ts";
import { StalledError } from "../errors.ts";
import { hasPrefix, notAllowed, renderNamePrefix, requirePrefix } from "./name-prefix.ts";

/** One topic as it should be. `config` has the keys we own; `null` = not ours, whatever it is there. */
export interface Topic {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly config: Readonly<Record<string, string | null>>;
}

export interface Topics {
  readonly topic: Topic;
  /** Absent: dead-lettering is switched off. */
  readonly deadLetter: Topic | undefined;
}

/** What may be done with one topic, whatever it should look like. */
export interface TopicPolicy {
  readonly management: "Manage" | "Observe";
  readonly adoption: "IfIdentical" | "Never" | "Always";
  readonly drift: "Correct" | "Report";
  /** The name lies in the namespace's own prefix. A grant beyond it is for topics that are there. */
  readonly mayCreate: boolean;
}

/** AuditTopic's spec, with the defaults of the schema filled in or not. Durations and quantities as the user writes them. */
export interface TopicSettings {
  readonly topicName?: string | undefined;
  readonly partitions?: number | undefined;
  readonly replicationFactor?: number | undefined;
  readonly minInSyncReplicas?: number | undefined;
  readonly retention?: { readonly time?: string | undefined; readonly size?: string | undefined } | undefined;
  readonly compressionType?: "Zstd" | "Lz4" | "Snappy" | "Gzip" | "Producer" | undefined;
  readonly maxMessageSize?: string | undefined;
  readonly config?: Readonly<Record<string, string | null>> | undefined;
  readonly managementPolicy?: TopicPolicy["management"] | undefined;
  readonly adoptionPolicy?: TopicPolicy["adoption"] | undefined;
  readonly driftPolicy?: TopicPolicy["drift"] | undefined;
  readonly deadLetter?:
    | {
        readonly enabled?: boolean | undefined;
        readonly topicName?: string | undefined;
        readonly partitions?: number | undefined;
        readonly retention?: { readonly time?: string | undefined } | undefined;
      }
    | undefined;
}

/** What of the back-end decides about a topic. */
export type TopicBackend = Pick<KafkaBackend, "name" | "namePrefix" | "replicationFactor" | "maxPartitions"> &
  Partial<Pick<KafkaBackend, "grants">>;

const DEFAULT_PARTITIONS = 12;

/**
 * A dead letter is its original plus the reason headers, and whatever fits the source must fit there. Both limits are for
 * records as they are sent: the sink compresses its letters, perhaps not quite as well as the producer did.
 */
const DEAD_LETTER_ROOM = { factor: 2, bytes: 64 * 1024 } as const;
/** `max.message.bytes` is an int32. */
const LARGEST_MESSAGE = 2 ** 31 - 1;

/** Kafka's topic configuration keys that a typed field of the spec, or a guarantee, decides; never `spec.config`. */
const TYPED_KEYS: Readonly<Record<string, string>> = {
  "retention.ms": "spec.retention.time",
  "retention.bytes": "spec.retention.size",
  "min.insync.replicas": "spec.minInSyncReplicas",
  "compression.type": "spec.compressionType",
  "max.message.bytes": "spec.maxMessageSize",
  // The record time must be the broker's: it decides the month a row lies in, and no producer may choose that.
  "message.timestamp.type": "the operator (always LogAppendTime)",
  // Compaction removes events that were acknowledged.
  "cleanup.policy": "the operator (always delete)",
};

/** @throws StalledError NameNotAllowed, InvalidTopicConfig, TooManyPartitions */
export function desiredTopics(
  resource: { namespace: string; name: string },
  settings: TopicSettings,
  backend: TopicBackend,
): Topics {
  const { name, deadLetterName } = topicNames(resource, settings, backend);
  const deadLetterEnabled = settings.deadLetter?.enabled ?? true;
  const verb = settings.managementPolicy === "Observe" ? "Observe" : "Adopt";
  const rule = { namespace: resource.namespace, backend };

  checkName(name, { ...rule, verb, field: "spec.topicName" });
  if (deadLetterEnabled) checkName(deadLetterName, { ...rule, verb: "Adopt", field: "spec.deadLetter.topicName" });
  // Kafka takes `a.b` and `a_b` for a collision, since metric names turn one into the other (Topic.hasCollision).
  if (deadLetterEnabled && collisionForm(name) === collisionForm(deadLetterName)) {
    throw notAllowed("spec.deadLetter.topicName", deadLetterName, `it collides with ${name}`, "choose another name");
  }

  return {
    topic: sourceTopic(name, settings, backend),
    deadLetter: deadLetterEnabled ? deadLetterTopic(deadLetterName, settings, backend) : undefined,
  };
}

/** A topic outside the prefix (by a grant) has its dead-letter topic inside: that one is ours, and we make it. */
function topicNames(resource: { namespace: string; name: string }, settings: TopicSettings, backend: TopicBackend) {
  const prefix = renderNamePrefix(backend.namePrefix, resource.namespace);
  const own = `${prefix}${resource.name}`;
  const name = settings.topicName ?? own;
  const deadLetterName = settings.deadLetter?.topicName ?? `${hasPrefix(name, prefix) ? name : own}.dlq`;
  return { name, deadLetterName };
}

/** @param role the dead-letter topic is ours whoever owns the topic */
export function topicPolicy(
  name: string,
  role: "Topic" | "DeadLetter",
  { namespace, settings, backend }: { namespace: string; settings: TopicSettings; backend: TopicBackend },
): TopicPolicy {
  return {
    management: role === "Topic" ? (settings.managementPolicy ?? "Manage") : "Manage",
    adoption: settings.adoptionPolicy ?? "Never",
    drift: settings.driftPolicy ?? "Correct",
    mayCreate: hasPrefix(name, renderNamePrefix(backend.namePrefix, namespace)),
  };
}

/** Whether the platform allows `verb` on a topic outside the namespace's prefix. */
export const isGranted = ({ grants = [] }: TopicBackend, namespace: string, name: string, verb: GrantVerb) =>
  grants.some((grant) => grant.namespace === namespace && grant.names.includes(name) && grant.verbs.includes(verb));

function sourceTopic(name: string, settings: TopicSettings, backend: TopicBackend): Topic {
  const { partitions = DEFAULT_PARTITIONS, managementPolicy } = settings;
  return {
    name,
    // Of an observed topic nothing is asked for.
    partitions: managementPolicy === "Observe" ? partitions : checkPartitions("spec.partitions", partitions, backend),
    replicationFactor: settings.replicationFactor ?? backend.replicationFactor,
    config: {
      ...checkConfig(settings.config ?? {}),
      "cleanup.policy": "delete",
      "retention.ms": retentionMs("spec.retention.time", settings.retention?.time ?? "168h"),
      ...(settings.retention?.size !== undefined && {
        "retention.bytes": String(bytes("spec.retention.size", settings.retention.size)),
      }),
      "compression.type": (settings.compressionType ?? "Producer").toLowerCase(),
      "max.message.bytes": String(maxMessageBytes(settings)),
      ...shared(settings),
    },
  };
}

function deadLetterTopic(name: string, settings: TopicSettings, backend: TopicBackend): Topic {
  const { partitions = 1, retention } = settings.deadLetter ?? {};
  return {
    name,
    partitions: checkPartitions("spec.deadLetter.partitions", partitions, backend),
    replicationFactor: settings.replicationFactor ?? backend.replicationFactor,
    config: {
      // A broker's own default may delete or compact; an attacker could then hide an act behind one bad byte.
      "cleanup.policy": "delete",
      "retention.ms": retentionMs("spec.deadLetter.retention.time", retention?.time ?? "Unlimited"),
      "retention.bytes": "-1",
      // As the sink sends them: another setting by default could make a letter larger than it was.
      "compression.type": "producer",
      "max.message.bytes": String(deadLetterBytes(settings)),
      ...shared(settings),
    },
  };
}

const shared = ({ minInSyncReplicas }: TopicSettings) => ({
  "message.timestamp.type": "LogAppendTime",
  ...(minInSyncReplicas !== undefined && { "min.insync.replicas": String(minInSyncReplicas) }),
});

const maxMessageBytes = (settings: TopicSettings) => bytes("spec.maxMessageSize", settings.maxMessageSize ?? "1Mi");

const deadLetterBytes = (settings: TopicSettings) =>
  Math.min(maxMessageBytes(settings) * DEAD_LETTER_ROOM.factor + DEAD_LETTER_ROOM.bytes, LARGEST_MESSAGE);

const collisionForm = (name: string) => name.replaceAll(".", "_");

function checkName(
  name: string,
  { field, namespace, backend, verb }: { field: string; namespace: string; backend: TopicBackend; verb: GrantVerb },
): void {
  if (!isTopicName(name)) {
    throw notAllowed(
      field,
      name,
      "a topic's name has 1 to 249 of a-z A-Z 0-9 . _ -, is not . or .., and does not begin with __",
      "choose another name",
    );
  }
  if (isGranted(backend, namespace, name, verb)) return;
  const prefix = renderNamePrefix(backend.namePrefix, namespace);
  requirePrefix(name, { field, prefix, backend: backend.name, verb });
}

function checkPartitions(field: string, partitions: number, { name, maxPartitions }: TopicBackend): number {
  if (Number.isInteger(partitions) && partitions >= 1 && partitions <= maxPartitions) return partitions;
  throw new StalledError(
    "TooManyPartitions",
    `${field}: ${partitions} is not allowed: back-end ${JSON.stringify(name)} takes 1 to ${maxPartitions}; ask for fewer, or have its maxPartitions raised`,
  );
}

function checkConfig(config: Readonly<Record<string, string | null>>): Readonly<Record<string, string | null>> {
  for (const key of Object.keys(config)) {
    const owner = Object.hasOwn(TYPED_KEYS, key) ? TYPED_KEYS[key] : undefined;
    if (owner !== undefined) {
      throw invalid(`spec.config[${JSON.stringify(key)}]`, `it is decided by ${owner}; take it out of spec.config`);
    }
  }
  return config;
}

function retentionMs(field: string, time: string): string {
  if (time === "Unlimited") return "-1";
  return String(parsed(field, () => parseDurationMs(time)));
}

const bytes = (field: string, size: string) => parsed(field, () => parseQuantityBytes(size));

function parsed(field: string, parse: () => number): number {
  try {
    return parse();
  } catch (cause) {
    throw invalid(field, (cause as Error).message, cause);
  }
}

const invalid = (field: string, why: string, cause?: unknown) =>
  new StalledError("InvalidTopicConfig", `${field}: ${why}`, { cause });
