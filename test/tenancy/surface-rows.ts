import type { KubeObject } from "../../operator/runtime/object-store.ts";
import type { Answer, Row, Section } from "./matrix.ts";
import type { World } from "./tenants.ts";

/** What somebody reads who may read everything in one namespace, and a platform that scrapes. */
const READERS = ["team-a", "team-ab", "hostile"] as const;
type Reader = (typeof READERS)[number];

/** What must not be found: somebody else's name, somebody else's password, or what the operator logs in with. */
const NEEDLES = ["a name of another tenant", "a password of another tenant", "a login of the platform"] as const;
type Needle = (typeof NEEDLES)[number];

const KINDS = [
  "AuditPipeline",
  "AuditTopic",
  "ConfigMap",
  "Deployment",
  "Pod",
  "ServiceAccount",
  "Event",
  "Secret",
] as const;

const namespaceOf = (reader: Reader, { tenants, hostile }: World) =>
  reader === "hostile" ? hostile : tenants[reader].namespace;

/** One namespace is the beginning of another: what follows decides whose name it is. */
const isNamed = (text: string, namespace: string) => new RegExp(`(?<![a-z0-9-])${namespace}(?![a-z0-9-])`).test(text);

function needles(needle: Needle, reader: Reader, world: World): (text: string) => boolean {
  const others = READERS.filter((other) => other !== reader);
  if (needle === "a name of another tenant") {
    return (text) => others.some((other) => isNamed(text, namespaceOf(other, world)));
  }
  const texts =
    needle === "a login of the platform"
      ? [world.postgres.admin.user, world.postgres.admin.password, world.broker.admin.password]
      : others.flatMap((other) => passwordsOf(other, world));
  return (text) => texts.some((secret) => text.includes(secret));
}

function passwordsOf(reader: Reader, { tenants }: World): string[] {
  if (reader === "hostile") return [];
  const { kafkaLogin, writer, reader: investigator, sharedWriter, sharedReader } = tenants[reader];
  return [kafkaLogin, writer, investigator, sharedWriter, sharedReader].map(({ password }) => password);
}

/** Of a Secret what its base64 says. */
async function textsOf(kind: string, reader: Reader, world: World): Promise<string[]> {
  const namespace = namespaceOf(reader, world);
  const { items } = await world.operator.store.list<KubeObject & { data?: Record<string, string> }>(kind, {
    namespace,
  });
  return items.flatMap((object) => [
    JSON.stringify(object),
    ...(kind === "Secret"
      ? Object.values(object.data ?? {}).map((value) => Buffer.from(value, "base64").toString())
      : []),
  ]);
}

async function sinkMetrics(reader: Reader, world: World): Promise<string[]> {
  const namespace = namespaceOf(reader, world);
  const { items } = await world.operator.store.list<KubeObject>("Pod", { namespace });
  const addresses = items.flatMap(({ metadata }) => metadata.annotations?.["auditpipeline.io/admin-address"] ?? []);
  return Promise.all(addresses.map(async (address) => (await fetch(`http://${address}/metrics`)).text()));
}

type Texts = (reader: Reader, world: World) => Promise<readonly string[]>;

const surface = (object: string, texts: Texts, own: Answer): Row<Reader, World>[] => [
  {
    ...{ object, verb: "find its own name", expect: { "team-a": own, "team-ab": own, hostile: own } },
    async ask(reader, world) {
      const found = await texts(reader, world);
      return found.some((text) => isNamed(text, namespaceOf(reader, world))) ? "found" : "nothing";
    },
  },
  ...NEEDLES.map((needle): Row<Reader, World> => {
    return {
      ...{ object, verb: `find ${needle}`, expect: { "team-a": "nothing", "team-ab": "nothing", hostile: "nothing" } },
      async ask(reader, world) {
        const isThere = needles(needle, reader, world);
        return (await texts(reader, world)).some(isThere) ? "found" : "nothing";
      },
    };
  }),
];

export const surfaceSection: Section<Reader, World> = {
  title: "Kubernetes objects and metrics: what a namespace's own readers find",
  principals: READERS,
  rows: [
    ...KINDS.flatMap((kind) =>
      surface(`${kind}s of the own namespace`, (reader, world) => textsOf(kind, reader, world), "found"),
    ),
    ...surface("metrics of the own sinks", sinkMetrics, "found"),
    ...surface("metrics of the operator", async (_, { operator }) => [await operator.metrics()], "nothing"),
  ],
};
