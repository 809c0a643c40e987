import { createHash } from "node:crypto";
import { kafkaTopics } from "../../operator/external/kafka-topic.ts";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { ledgerCatalog, serverCatalog } from "./catalog.ts";
import { asSuperuser, type Servers, topicNames, withAdmin } from "./servers.ts";
import type { World } from "./world.ts";

/** All there is of a namespace, in a form in which two runs can be compared. */
export interface Snapshot {
  /** By object, what is seen of it: ids, times, ports and the namespace's name are taken out. */
  readonly state: Readonly<Record<string, unknown>>;
  /** By object, what tells it from another of the same name. */
  readonly identities: ReadonlyMap<string, string>;
}

const KINDS = [
  ...["AuditPipeline", "AuditTopic", "ConfigMap", "Deployment", "Secret", "ServiceAccount"],
  ...["Service", "PodDisruptionBudget", "NetworkPolicy"],
];

export async function takeSnapshot(world: World): Promise<Snapshot> {
  const { namespace, servers } = world;
  const [objects, topics, postgres, receipts] = await Promise.all([
    clusterObjects(world),
    topicsOf(servers, namespace),
    postgresOf(servers, namespace),
    receiptsOf(world),
  ]);
  const identities = new Map([
    ...objects.map((object): [string, string] => [`${object.kind} ${object.metadata.name}`, identityOf(object)]),
    ...topics.map(({ name, topicId }): [string, string] => [`Topic ${name}`, topicId]),
    ...postgres.identities,
  ]);
  const state = {
    ...Object.fromEntries(objects.map((object) => [`${object.kind} ${object.metadata.name}`, shown(object)])),
    ...Object.fromEntries(topics.map((topic) => [`Topic ${topic.name}`, topic])),
    ...postgres.state,
    ...receipts,
  };
  const plainNames = (name: string) => name.replaceAll(namespace, "NS");
  return {
    state: normalised(state, world),
    identities: new Map([...identities].map(([name, id]) => [plainNames(name), id])),
  };
}

async function clusterObjects({ store, namespace }: World): Promise<KubeObject[]> {
  const lists = await Promise.all(KINDS.map((kind) => store.list(kind, { namespace })));
  return lists.flatMap(({ items }) => items);
}

/** A Secret that was written anew is another one. */
function identityOf({ kind, metadata, ...rest }: KubeObject): string {
  if (kind !== "Secret") return metadata.uid;
  return createHash("sha256")
    .update(JSON.stringify([metadata.uid, rest]))
    .digest("hex");
}

function shown({ metadata, ...object }: KubeObject & { data?: object; status?: { observedGeneration?: number } }) {
  const { resourceVersion: _, creationTimestamp: _created, generation, uid: _uid, ...kept } = metadata;
  const { data, status } = object;
  return {
    ...{ ...object, metadata: kept },
    ...(object.kind === "Secret" ? { data: Object.keys(data ?? {}).toSorted() } : {}),
    ...(status === undefined
      ? {}
      : { status: { ...status, observedGeneration: status.observedGeneration === generation } }),
  };
}

const topicsOf = (servers: Servers, namespace: string) =>
  withAdmin(servers, async (admin) => {
    const names = await topicNames(admin, namespace);
    const found = await Promise.all(names.map((name) => kafkaTopics(admin).observe(name)));
    return found.flatMap((topic) => (topic === undefined ? [] : [topic]));
  });

async function postgresOf(servers: Servers, namespace: string) {
  const { state, identities, databases } = await asSuperuser(servers, "postgres", (client) =>
    serverCatalog(client, namespace),
  );
  const inside: [string, unknown][] = [];
  for (const database of databases) {
    inside.push([`Inside ${database}`, await asSuperuser(servers, database, ledgerCatalog)]);
  }
  return { state: { ...state, ...Object.fromEntries(inside) }, identities };
}

/** Of every pipeline and topic that these scenarios make. */
async function receiptsOf({ receipts, namespace }: World) {
  const subjects = ["AuditPipeline", "AuditTopic"].map((kind) => ({ kind, namespace, name: "audit" }));
  const found = await Promise.all(
    subjects.map(async (subject) => {
      const receipt = await receipts.read(subject);
      const items = receipt?.items.toSorted((a, b) => (`${a.kind} ${a.name}` < `${b.kind} ${b.name}` ? -1 : 1));
      return [`Receipt ${subject.kind}`, items] as const;
    }),
  );
  return Object.fromEntries(found.filter(([, items]) => items !== undefined));
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** Ids are numbered by where they stand first, so that two that should be the same must still be so. */
function normalised(state: Record<string, unknown>, { namespace, ports }: World): Record<string, unknown> {
  const ids = new Map<string, string>();
  const text = JSON.stringify(sorted(state))
    .replaceAll(namespace, "NS")
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, "<time>")
    .replace(/\b(?:[0-9a-f]{16,}|[A-Za-z0-9+/_-]{43}=?)(?![A-Za-z0-9])/g, "<hash>")
    .replace(UUID, (id) => {
      const known = ids.get(id) ?? `<id ${ids.size + 1}>`;
      ids.set(id, known);
      return known;
    })
    // After the ids, in which a port's digits may stand by chance.
    .replace(/"port":(\d+)/g, '"port":"$1"')
    .replaceAll(String(ports.kafka), "<kafka>")
    .replaceAll(String(ports.postgres), "<postgres>");
  return JSON.parse(text, portsInOrder) as Record<string, unknown>;
}

/** Ports are listed by number, and which is the lower one differs from run to run. */
const portsInOrder = (key: string, value: unknown) =>
  key === "ports" && Array.isArray(value) ? value.map((port) => JSON.stringify(port)).toSorted() : value;

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
