import { setTimeout as sleep } from "node:timers/promises";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import type { Condition } from "../../crds/v1alpha1/conditions.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { apply } from "../support/operator.ts";
import type { TenantInUse, World } from "./tenants.ts";

/** A resource that the API takes, made to reach another tenant. */
export interface Trick {
  readonly what: string;
  /** Of the resource; what is planted is named after it. */
  readonly name: string;
  readonly kind: "AuditPipeline" | "AuditTopic";
  readonly spec: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Objects that the tenant puts into its namespace first. */
  readonly plants?: readonly (Omit<KubeObject, "metadata"> & { metadata: Record<string, unknown> } & Record<
      string,
      unknown
    >)[];
  /** What somebody with a right on the status writes there, just before the deletion. */
  readonly status?: object;
  /** The same on an AuditTopic of that name, which is paused so that it stays. */
  readonly topicStatus?: object;
  /** A condition's reason. `Succeeded`: it works, and does no harm. */
  readonly reason: string;
}

type Make = (victim: TenantInUse, world: World) => Omit<Trick, "name">;

const topic = (what: string, spec: Trick["spec"], reason = "NameNotAllowed", more: Partial<Trick> = {}) => ({
  ...{ what, kind: "AuditTopic" as const, spec: { partitions: 1, ...spec }, reason },
  ...more,
});

/** Without a topic and pods of its own: what it says of stores is what counts. */
const pipeline = (
  what: string,
  postgres: Record<string, unknown>,
  reason: string,
  more: Partial<Trick> & { sink?: object; top?: object } = {},
) => {
  const { sink = {}, top = {}, ...rest } = more;
  return {
    ...{ what, kind: "AuditPipeline" as const, reason },
    spec: {
      ...{ topic: { ref: { name: "audit" } }, workload: { replicas: 0 }, kafka: { principal: { create: true } } },
      sinks: [{ name: "ledger", postgres, ...sink }],
      deletion: { drain: false },
      ...top,
    },
    ...rest,
  };
};

const DELETE = { deletionPolicy: { database: "Delete", roles: "Delete", secrets: "Delete" } };
const b64 = (fields: Record<string, string>) =>
  Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, Buffer.from(value).toString("base64")]));
const labels = (name: string) => ({
  "auditpipeline.io/pipeline": name,
  "auditpipeline.io/sink": "ledger",
  "app.kubernetes.io/managed-by": "audit-pipeline-operator",
});
const planted = (kind: "Secret" | "ConfigMap", name: string, over: Record<string, unknown>, metadata = {}) => ({
  ...{ apiVersion: "v1", kind, metadata: { name, ...metadata } },
  ...over,
});

/** Each against both victims: one's name is the beginning of the other's, and of both the tenant's own. */
const AGAINST: readonly Make[] = [
  ({ kafka }) => topic("names another's topic", { topicName: kafka.topic }),
  ({ kafka }) =>
    topic("takes over another's topic", { topicName: kafka.topic, adoptionPolicy: "Always", deletionPolicy: "Delete" }),
  ({ kafka }) => topic("watches another's topic", { topicName: kafka.topic, managementPolicy: "Observe" }),
  ({ kafka }) => topic("names another's dead letters as its own", { deadLetter: { topicName: kafka.deadLetters } }),
  ({ namespace }) => topic("names a new topic in another's prefix", { topicName: `${namespace}.new` }),
  ({ kafka }) =>
    topic("names what Kafka cannot tell from another's topic", { topicName: kafka.topic.replace(".", "_") }),
  ({ kafka }) =>
    pipeline("reads another's topic by a template", {}, "NameNotAllowed", {
      top: { topic: { template: { topicName: kafka.topic } } },
    }),
  ({ kafka }) =>
    pipeline("reads another's AuditTopic by the topic's name", {}, "DependencyNotFound", {
      top: { topic: { ref: { name: kafka.topic } } },
    }),
  ({ ledger }) => pipeline("names another's database", { database: ledger.database }, "NameNotAllowed"),
  ({ ledger }) =>
    pipeline("takes over and drops another's database", { database: ledger.database }, "NameNotAllowed", {
      sink: { adoptionPolicy: "Always", ...DELETE },
    }),
  ({ namespace }) =>
    pipeline("names a new database in another's prefix", { database: `${namespace}_new` }, "NameNotAllowed"),
  ({ shared }) =>
    pipeline(
      "names another's schema in a shared database",
      { backendRef: { name: "shared" }, database: shared.database, schema: shared.schema },
      "RoleConflict",
    ),
  ({ shared }) =>
    pipeline(
      "takes over and drops another's schema",
      { backendRef: { name: "shared" }, database: shared.database, schema: shared.schema },
      "RoleConflict",
      { sink: { adoptionPolicy: "Always", ...DELETE } },
    ),
  ({ ledger }) =>
    pipeline(
      "has and drops a database of another's name, on a server where names are free",
      { backendRef: { name: "shared" }, database: ledger.database },
      "Succeeded",
      { sink: DELETE },
    ),
  ({ kafka, topicId }) =>
    topic("says in its status that another's topic is its own", { deletionPolicy: "Delete" }, "Succeeded", {
      status: { topicName: kafka.topic, topicId, ownership: "Created" },
    }),
  ({ kafka }) =>
    topic("says in its status that it is about to make another's topics", { deletionPolicy: "Delete" }, "Succeeded", {
      status: { intent: kafka.topic, deadLetter: { intent: kafka.deadLetters } },
    }),
  ({ kafka }) =>
    pipeline("says in its status that another's user is its own", {}, "Succeeded", {
      status: { inventory: [{ kind: "KafkaUser", name: kafka.user, ownership: "Created", policy: "Delete" }] },
    }),
  ({ kafka, topicId }) =>
    pipeline("reads an AuditTopic whose status says another's topics", {}, "DependencyNotReady", {
      top: { topic: { ref: { name: "NAME" } } },
      topicStatus: {
        ...{ topicName: kafka.topic, topicId, ownership: "Created" },
        deadLetter: { topicName: kafka.deadLetters, topicId, ownership: "Created" },
      },
    }),
  ({ kafkaLogin }) =>
    pipeline("plants a Secret with another's Kafka user", {}, "Succeeded", {
      plants: [
        planted("Secret", "NAME-kafka", {
          data: b64({ username: kafkaLogin.username, password: "planted-password-of-43-characters-abcdefghi" }),
        }),
      ],
    }),
  ({ writer }) =>
    pipeline("plants a Secret with another's writer", {}, "Succeeded", {
      plants: [
        planted("Secret", "NAME-ledger-writer", {
          data: b64({ username: writer.user, password: "planted-password-of-43-characters-abcdefghi" }),
        }),
      ],
    }),
  ({ ledger }) =>
    pipeline("plants the record of a former sink with another's database", {}, "Succeeded", {
      plants: [record("gone", { database: ledger.database })],
    }),
  ({ shared }) =>
    pipeline("plants the record of a former sink with another's schema", {}, "Succeeded", {
      plants: [record("gone", { backendRef: { name: "shared" }, database: shared.database, schema: shared.schema })],
    }),
];

const record = (sink: string, postgres: Record<string, unknown>) =>
  planted(
    "ConfigMap",
    `NAME-${sink}-config`,
    { data: {} },
    {
      labels: { "auditpipeline.io/sink": sink },
      ownerReferences: "OWNER",
      annotations: { "auditpipeline.io/sink-spec": JSON.stringify({ name: sink, postgres, ...DELETE }) },
    },
  );

/** Against nobody in particular. */
const BESIDES: readonly Make[] = [
  (_, { hostile }) => topic("has a name that is its prefix alone", { topicName: `${hostile}.` }),
  () => topic("names a topic of the platform", { topicName: "orders" }),
  () => topic("names a back-end that is not there", { kafka: { backendRef: { name: "admin" } } }, "BackendNotFound"),
  () => topic("asks for more partitions than there may be", { partitions: 10_000 }, "TooManyPartitions"),
  () =>
    pipeline("plants a Secret that says it is another pipeline's", {}, "SecretConflict", {
      plants: [planted("Secret", "NAME-kafka", { data: {} }, { labels: { "auditpipeline.io/pipeline": "audit" } })],
    }),
  (_, { platformDatabase }) =>
    pipeline(
      "drops the platform's database",
      { backendRef: { name: "shared" }, database: platformDatabase, schema: "theirs" },
      "Succeeded",
      { sink: DELETE },
    ),
  () =>
    pipeline("stores under another tenant's name, in its own ledger", {}, "Succeeded", {
      top: { events: { tenant: "team-ab" } },
    }),
];

/** Names are short, and tell a victim's from the other's. */
export const tricks = (world: World): Trick[] => [
  ...Object.values(world.tenants).flatMap((victim, which) =>
    AGAINST.map((make, at) => ({ name: `t${which}-${at}`, ...make(victim, world) })),
  ),
  ...BESIDES.map((make, at) => ({ name: `b-${at}`, ...make(world.tenants["team-ab"], world) })),
];

/** Undefined once the operator says what the trick expects; else what it says. */
export async function play(trick: Trick, world: World): Promise<string | undefined> {
  const { store } = world.operator;
  const namespace = world.hostile;
  if (trick.topicStatus !== undefined) {
    await apply(store, "AuditTopic", trick.name, namespace, {}, { "auditpipeline.io/paused": "true" });
    await store.patchStatus({ kind: "AuditTopic", namespace, name: trick.name }, trick.topicStatus);
  }
  await plant(trick, world, undefined);
  const spec = JSON.parse(JSON.stringify(trick.spec).replaceAll("NAME", trick.name)) as Record<string, unknown>;
  const annotations = { "auditpipeline.io/confirm-delete": trick.name };
  const { metadata }: KubeObject = await apply(store, trick.kind, trick.name, namespace, spec, annotations);
  await plant(trick, world, metadata.uid);
  const ref = { kind: trick.kind, namespace, name: trick.name };
  for (let left = 300; left > 0; left -= 1) {
    const reasons = reasonsOf(await store.get<AuditPipeline | AuditTopic>(ref));
    if (reasons.includes(trick.reason)) return undefined;
    if (left === 1) return `${trick.name} ${trick.what}: ${reasons.join(" ")}, not ${trick.reason}`;
    await sleep(200);
  }
  return undefined;
}

/** What needs an owner comes after it. */
async function plant({ plants = [], name, kind }: Trick, { operator, hostile }: World, uid: string | undefined) {
  for (const { metadata, ...object } of plants) {
    if ((metadata["ownerReferences"] !== undefined) !== (uid !== undefined)) continue;
    const owner = { apiVersion: "auditpipeline.io/v1alpha1", kind, name, uid };
    const over = {
      namespace: hostile,
      name: String(metadata["name"]).replace("NAME", name),
      labels: { ...labels(name), ...(metadata["labels"] as object | undefined) },
      ...(uid === undefined ? {} : { ownerReferences: [owner] }),
    };
    await operator.store.create({ ...object, metadata: { ...metadata, ...over } } as never);
  }
}

/** `Succeeded` counts where it is said of Ready; with no replicas that is Suspended. */
function reasonsOf(resource: (AuditPipeline | AuditTopic) | undefined): string[] {
  const conditions: readonly Condition[] = resource?.status?.conditions ?? [];
  const ready = conditions.some(({ type, status }) => type === "Ready" && status === "True");
  return [
    ...conditions.map(({ reason }) => reason).filter((reason) => reason !== "Succeeded"),
    ...(ready ? ["Succeeded"] : []),
  ];
}

/** The claim in the status goes in just before the deletion, so that nobody takes it out again. */
export async function takeDown(trick: Trick, { operator, hostile }: World): Promise<string | undefined> {
  const { store } = operator;
  const ref = { kind: trick.kind, namespace: hostile, name: trick.name };
  if (trick.status !== undefined) {
    const found = await store.get<AuditPipeline | AuditTopic>(ref);
    await store.patchStatus(ref, { ...found?.status, ...trick.status });
  }
  await store.delete(ref);
  for (let left = 300; left > 0; left -= 1) {
    const found = await store.get<AuditPipeline | AuditTopic>(ref);
    if (found === undefined) break;
    const blocked = found.status?.conditions?.find(({ type }) => type === "DeletionBlocked");
    if (left === 1) return `${trick.name} ${trick.what}: is still there, ${blocked?.message}`;
    await sleep(200);
  }
  if (trick.topicStatus !== undefined) await store.delete({ ...ref, kind: "AuditTopic" });
  return undefined;
}
