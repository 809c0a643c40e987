import type { World } from "./tenants.ts";

/** A resource that the API refuses: nothing of it ever reaches the operator. */
export interface Refused {
  readonly what: string;
  readonly kind: "AuditPipeline" | "AuditTopic";
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly spec: Readonly<Record<string, unknown>>;
  /** The field that the answer names. */
  readonly field: string;
}

type Values = (world: World) => Readonly<Record<string, string>>;

/** What goes wrong where names are put together instead of checked. */
const values: Values = ({ tenants }) => {
  const { namespace, ledger } = tenants["team-ab"];
  return {
    "ends an identifier": `x"; DROP DATABASE "${ledger.database}"; --`,
    "ends a literal": `x'; DROP DATABASE "${ledger.database}"; --`,
    "has a path": `../${namespace}/audit`,
    "has an encoded path": `..%2f${namespace}`,
    "is a wildcard": "*",
    "ends in a wildcard": `${namespace}.*`,
    "is a URL with a login": "http://admin:secret@169.254.169.254/latest",
    "is JSON": '{"name":"x"}',
    "has a NUL": `x\u0000${namespace}`,
    "has a line break": "x\npassword: y",
    "runs a command": "$(id)",
    "has another alphabet": "аudit",
    "is empty": "",
  };
};

const pipeline = (over: Record<string, unknown>, sink: Record<string, unknown> = {}) => ({
  topic: { ref: { name: "audit" } },
  sinks: [{ name: "ledger", postgres: {}, ...sink }],
  ...over,
});

/** Every field that holds a name. */
const FIELDS: readonly (readonly [field: string, make: (value: string) => Omit<Refused, "what" | "field">])[] = [
  ["spec.sinks[0].postgres.database", (database) => of(pipeline({}, { postgres: { database } }))],
  ["spec.sinks[0].postgres.schema", (schema) => of(pipeline({}, { postgres: { schema } }))],
  ["spec.sinks[0].postgres.backendRef.name", (name) => of(pipeline({}, { postgres: { backendRef: { name } } }))],
  ["spec.sinks[0].name", (name) => of(pipeline({}, { name }))],
  ["spec.kafka.backendRef.name", (name) => of(pipeline({ kafka: { backendRef: { name } } }))],
  ["spec.topic.ref.name", (name) => of(pipeline({ topic: { ref: { name } } }))],
  ["spec.topic.template.topicName", (topicName) => of(pipeline({ topic: { template: { topicName } } }))],
  [
    "spec.topic.template.deadLetter.topicName",
    (topicName) => of(pipeline({ topic: { template: { deadLetter: { topicName } } } })),
  ],
  ["spec.topicName", (topicName) => ({ kind: "AuditTopic", spec: { topicName } })],
  ["spec.deadLetter.topicName", (topicName) => ({ kind: "AuditTopic", spec: { deadLetter: { topicName } } })],
  ["metadata.name", (name) => ({ ...of(pipeline({})), metadata: { name } })],
  ["metadata.namespace", (namespace) => ({ ...of(pipeline({})), metadata: { namespace } })],
];

const of = (spec: Record<string, unknown>) => ({ kind: "AuditPipeline" as const, spec });

/** Fields that tenants may not have: endpoints, files, Secrets and namespaces are the platform's. */
const FOREIGN_FIELDS: readonly (readonly [field: string, spec: (world: World) => Record<string, unknown>])[] = [
  [
    "spec.topic.ref",
    ({ tenants }) => pipeline({ topic: { ref: { name: "audit", namespace: tenants["team-ab"].namespace } } }),
  ],
  [
    "spec.kafka.backendRef",
    ({ tenants }) => pipeline({ kafka: { backendRef: { name: "default", namespace: tenants["team-ab"].namespace } } }),
  ],
  ["spec.kafka", () => pipeline({ kafka: { bootstrapServers: ["169.254.169.254:80"] } })],
  ["spec.kafka", () => pipeline({ kafka: { clientSecretFile: "/etc/passwd" } })],
  [
    "spec.kafka.principal",
    ({ tenants }) => pipeline({ kafka: { principal: { create: true, name: tenants["team-ab"].kafka.user } } }),
  ],
  ["spec.kafka.principal", () => pipeline({ kafka: { principal: { create: true, acls: [{ resource: "*" }] } } })],
  ["spec.sinks[0].postgres", () => pipeline({}, { postgres: { host: "169.254.169.254" } })],
  ["spec.sinks[0].postgres", () => pipeline({}, { postgres: { uri: "postgresql://postgres@localhost/postgres" } })],
  ["spec.sinks[0].postgres", () => pipeline({}, { postgres: { adminSecretFile: "../../admin.yaml" } })],
  [
    "spec.sinks[0].postgres",
    ({ tenants }) =>
      pipeline(
        {},
        { postgres: { secretRef: { name: "audit-ledger-writer", namespace: tenants["team-ab"].namespace } } },
      ),
  ],
  [
    "spec.sinks[0].postgres.roles",
    ({ tenants }) => pipeline({}, { postgres: { roles: { writer: { name: tenants["team-ab"].ledger.writer } } } }),
  ],
  ["spec.workload", () => pipeline({ workload: { serviceAccountName: "audit-pipeline-operator" } })],
  ["spec.workload", () => pipeline({ workload: { volumes: [{ hostPath: { path: "/" } }] } })],
  ["spec.workload", () => pipeline({ workload: { env: [{ name: "NODE_OPTIONS", value: "--require /tmp/x" }] } })],
];

export function refused(world: World): Refused[] {
  return [
    ...FIELDS.flatMap(([field, make]) =>
      Object.entries(values(world))
        // No name in the metadata asks the API server for one.
        .filter(([, value]) => value !== "" || !field.startsWith("metadata."))
        .map(([what, value]) => ({ what: `${field} that ${what}`, field, ...make(value) })),
    ),
    ...FOREIGN_FIELDS.map(([field, spec]) => {
      const made = spec(world);
      return { what: `${field}: ${JSON.stringify(made)}`, field, kind: "AuditPipeline" as const, spec: made };
    }),
  ];
}
