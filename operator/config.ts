import { readFileSync } from "node:fs";
import { parseDocument, parse as parseYaml } from "yaml";
import { z } from "zod";
import { loadConfigSync } from "zod-config";
import { envAdapter } from "zod-config/env-adapter";
import { isTopicName } from "../crds/v1alpha1/names.ts";

/**
 * The operator's own configuration: one YAML file, with the environment (`AUDIT_PIPELINE__A__B`) over it and the
 * defaults below it. It belongs to the platform team: endpoints and admin credentials stand here under a name, and a
 * resource says that name and no more.
 */

const port = z.int().min(1).max(65_535);
const backendName = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/, "a DNS label");
const hostPort = z.string().regex(/^[^\s:@/]+:\d{1,5}$|^\[[0-9a-fA-F:]+\]:\d{1,5}$/, "host:port");

/**
 * Rendered per namespace; "" gives every namespace every name, which a platform chooses knowingly. A namespace holds no
 * `.` and no `_`, so one of them behind it is what keeps `team-a` out of what `team-ab` has.
 */
const namePrefix = (fallback: string) =>
  z
    .string()
    .regex(/^([A-Za-z0-9._-]|\{namespace\})*$/, "letters, digits, `.`, `_`, `-` and {namespace}")
    .refine((prefix) => !/\{namespace\}(?![._])/.test(prefix), "{namespace} must be followed by `.` or `_`")
    .default(fallback);

/** Names of namespaces, or "*" for all. */
const allowedNamespaces = z.array(z.string().min(1)).default(["*"]);

/** Exact names: a pattern would also cover topics that are not there yet. */
const grant = z.strictObject({
  namespace: z.string().min(1),
  names: z.array(z.string().refine(isTopicName, "the name of a topic")).min(1),
  verbs: z.array(z.enum(["Observe", "Adopt", "Delete"])).min(1),
});

/** Of a connection to Kafka. Present: it is over TLS, and the server's certificate is checked, its host name included. */
const kafkaTls = z
  .strictObject({
    /** PEM; default the system's authorities. Sinks are given a copy. */
    caFile: z.string().min(1).optional(),
    /** PEM of the operator's own certificate, where the brokers ask for one. */
    certFile: z.string().min(1).optional(),
    keyFile: z.string().min(1).optional(),
    /** What the brokers' certificates say, where it is not the host that is dialled. */
    serverName: z.string().min(1).optional(),
  })
  .refine(({ certFile, keyFile }) => (certFile === undefined) === (keyFile === undefined), "certFile needs keyFile");

const kafkaSasl = z.strictObject({
  mechanism: z.enum(["ScramSha512", "ScramSha256", "Plain"]),
  /** The operator's own: YAML {username, password}, or a directory with files of those names. */
  secretFile: z.string().min(1),
});

const kafkaFields = z.strictObject({
  name: backendName,
  bootstrapServers: z.array(hostPort).min(1),
  tls: kafkaTls.optional(),
  sasl: kafkaSasl.optional(),
  /** What sinks log in with where their pipeline asks for no principal: {username, password} or {tls.crt, tls.key}, or all. */
  clientSecretFile: z.string().min(1).optional(),
  namePrefix: namePrefix("{namespace}."),
  allowedNamespaces,
  /** For topics that do not name one. */
  replicationFactor: z.int().min(1).max(32_767).default(1),
  /** Most partitions one topic may ask for. */
  maxPartitions: z.int().min(1).default(100),
  /** What a namespace may do with topics outside its namePrefix; without one, nothing. */
  grants: z.array(grant).default([]),
});

export const kafkaBackend = kafkaFields.refine(
  ({ tls, sasl }) => sasl?.mechanism !== "Plain" || tls !== undefined,
  "sasl.mechanism Plain needs tls (an empty mapping will do): the password would go over the wire as it is",
);

export const postgresBackend = z.strictObject({
  name: backendName,
  host: z.string().min(1),
  port: port.default(5432),
  sslMode: z.enum(["Disable", "Prefer", "Require", "VerifyCa", "VerifyFull"]).default("VerifyFull"),
  /** PEM, for VerifyCa and VerifyFull; default the system's authorities. Sinks and login Secrets are given a copy. */
  caFile: z.string().optional(),
  /** YAML {username, password}, or a directory with files of those names. Needs CREATEDB and CREATEROLE, no more. */
  adminSecretFile: z.string().min(1),
  /** Where the admin logs in before a pipeline's database exists. */
  maintenanceDatabase: z.string().min(1).default("postgres"),
  namePrefix: namePrefix("{namespace}_"),
  allowedNamespaces,
  /** False: no deletionPolicy ever drops a database or schema here. */
  allowDelete: z.boolean().default(true),
  /** False: no adoptionPolicy takes anything over here. Default: only within a namePrefix that holds {namespace}. */
  allowAdoption: z.boolean().optional(),
});

const uniqueNames = <T extends { name: string }>(backends: readonly T[]) =>
  new Set(backends.map((backend) => backend.name)).size === backends.length;

export const operatorConfig = z.strictObject({
  backends: z
    .strictObject({
      kafka: z.array(kafkaBackend).refine(uniqueNames, "two back-ends have the same name").default([]),
      postgres: z.array(postgresBackend).refine(uniqueNames, "two back-ends have the same name").default([]),
    })
    .prefault({}),
  /** Whether a resource may bring the address and the login of a server of its own, in place of a back-end. */
  inlineConnections: z.enum(["Deny", "Allow"]).default("Deny"),
  /** Addresses that they may reach although they are loopback, link-local or a cloud's metadata. */
  inlineAllowedCidrs: z.array(z.union([z.cidrv4(), z.cidrv6()])).default([]),
  /** Part of every ownership marker; on Kubernetes the uid of kube-system. Never change it: what it marks is lost. */
  clusterId: z.string().min(1).max(63).default("standalone"),
  /** Where receipts are kept, outside the namespaces that come and go. */
  namespace: z.string().min(1).default("audit-pipeline-system"),
  /** Empty: all. */
  watchNamespaces: z.array(z.string().min(1)).default([]),
  sink: z.strictObject({ image: z.string().min(1).default("localhost/audit-sink:dev") }).prefault({}),
  /** Health and metrics of the operator itself. 0 takes a free port. */
  admin: z
    .strictObject({ host: z.string().default("0.0.0.0"), port: z.int().min(0).max(65_535).default(8080) })
    .prefault({}),
  /** On Kubernetes: one of several replicas works, the others wait for its Lease in `namespace`. */
  leaderElection: z
    .strictObject({
      enabled: z.boolean().default(true),
      leaseName: z.string().min(1).default("audit-pipeline-operator"),
    })
    .prefault({}),
  concurrency: z.int().min(1).max(64).default(4),
  logLevel: z.enum(["debug", "info", "warn", "error"]).default("info"),
});

/** Where every namespace may use every name, a tenant's policy would reach what is anybody's. */
export const allowsAdoption = ({ allowAdoption, namePrefix: prefix }: PostgresBackend): boolean =>
  allowAdoption ?? prefix.includes("{namespace}");

/** What a connection of a resource's own has in place of files: Secrets, read again in each pass. */
export interface Inline<Secrets> {
  /** Of no other connection: clients are shared by it. */
  readonly id: string;
  /** See inlineAllowedCidrs. */
  readonly allowedCidrs: readonly string[];
  /** @throws WaitingError SecretMissing */
  read(): Promise<Secrets>;
}

export interface User {
  readonly username: string;
  readonly password: string;
}

/** PEM. */
export interface InlineKafkaSecrets {
  readonly ca?: string;
  readonly user?: User;
  readonly certificate?: { readonly cert: string; readonly key: string };
}

export interface InlinePostgresSecrets {
  readonly ca?: string;
  readonly admin: User;
}

export type OperatorConfig = z.infer<typeof operatorConfig>;
export type KafkaBackend = z.infer<typeof kafkaBackend> & { readonly inline?: Inline<InlineKafkaSecrets> };
export type GrantVerb = z.infer<typeof grant>["verbs"][number];
export type PostgresBackend = z.infer<typeof postgresBackend> & { readonly inline?: Inline<InlinePostgresSecrets> };

/** Every problem of the configuration at once, each with its path. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The operator's configuration is not usable:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
    this.problems = problems;
  }
}

const ENV_PREFIX = "AUDIT_PIPELINE__";

/**
 * @param fallback what the platform says when neither environment nor file does
 * @throws ConfigError
 */
export function loadOperatorConfig(
  path: string | undefined,
  env: NodeJS.ProcessEnv,
  fallback: Pick<OperatorConfig, "clusterId"> | Record<string, never> = {},
): OperatorConfig {
  const file = path === undefined ? {} : readFile(path);
  const problems: string[] = [];
  const config = loadConfigSync({
    schema: operatorConfig,
    adapters: [{ name: "fallback", read: () => fallback }, { name: "file", read: () => file }, environmentAdapter(env)],
    onError: (error) => {
      problems.push(...error.issues.map((issue) => `${issue.path.join(".") || "(root)"}: ${issue.message}`));
    },
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config);
}

function readFile(path: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ConfigError([
      `${path}: cannot be read (${(cause as NodeJS.ErrnoException).code}); it is named by --config or CONFIG_PATH`,
    ]);
  }
  const document = parseDocument(text);
  if (document.errors.length > 0) throw new ConfigError(document.errors.map((error) => `${path}: ${error.message}`));
  const content: unknown = document.toJS() ?? {};
  if (typeof content !== "object" || Array.isArray(content))
    throw new ConfigError([`${path}: must hold a YAML mapping`]);
  return content as Record<string, unknown>;
}

/** `AUDIT_PIPELINE__LOG_LEVEL=debug`; a value is YAML, so that numbers and flow lists can be said. */
function environmentAdapter(env: NodeJS.ProcessEnv) {
  const named = Object.entries(env).filter(([name]) => name.startsWith(ENV_PREFIX));
  return envAdapter({
    customEnv: Object.fromEntries(named.map(([name, value]) => [name.slice(ENV_PREFIX.length), value])),
    nestingSeparator: "__",
    keyMatching: "lenient",
    transform: ({ key, value }) => ({ key, value: typeof value === "string" ? parseYaml(value) : value }),
  });
}
