import type { AuditPipeline, InventoryItem } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaBackend } from "../config.ts";
import { desiredPrincipal, type KafkaPrincipal } from "../desired/kafka-principal.ts";
import { desiredKafkaSecret, kafkaSecretName } from "../desired/kafka-secret.ts";
import { PIPELINE_LABEL } from "../desired/sink-labels.ts";
import { sinkNames } from "../desired/sink-names.ts";
import type { KafkaAccess } from "../desired/sink-workload.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import { type KafkaLogin, readClientLogin, readKafkaCa, readOperatorLink } from "../external/kafka-link.ts";
import { credentialFingerprint } from "../external/scram.ts";
import type { Tools } from "../runtime/controller.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import type { TopicInUse } from "../status/audit-pipeline.ts";
import type { Deps } from "./deps.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import { forgetRefusals, maySetPassword } from "./password-resets.ts";
import { ensurePrincipal, KAFKA_USER, type PrincipalUser, principalOf, scramOf } from "./pipeline-principal.ts";
import type { Secret } from "./sink-credentials.ts";

interface KafkaStep {
  readonly pipeline: AuditPipeline;
  readonly topic: TopicInUse;
  readonly backend: KafkaBackend;
  readonly kafka: Kafka;
  /** PEM, where the back-end has an authority of its own. */
  readonly ca: string | undefined;
}

/**
 * What the pipeline's sinks reach their brokers with: the authority's certificate, and the login where the cluster wants
 * one. Never the operator's own, which can do everything.
 *
 * @throws WaitingError SecretMissing, KafkaCredentialMissing, KafkaUnauthorized; StalledError SecretConflict, PrincipalConflict
 */
export async function ensureKafkaAccess(
  pipeline: AuditPipeline,
  topic: TopicInUse | undefined,
  broker: { readonly backend: KafkaBackend; readonly kafka: Kafka } | undefined,
  tools: Tools<AuditPipeline>,
  deps: Deps,
): Promise<KafkaAccess> {
  // Without a topic there is no telling which cluster is meant; the topic's own report says why.
  if (topic === undefined || broker === undefined) return {};
  const ca = await readKafkaCa(broker.backend);
  const authority = ca === undefined ? {} : { ca };
  const step: KafkaStep = { pipeline, topic, ca, ...broker };
  if (pipeline.spec.kafka.principal?.create === true) {
    return { ...authority, secret: await ownPrincipal(step, tools, deps) };
  }
  return wantsLogin(broker.backend) ? { ...authority, secret: await givenLogin(step, tools, deps) } : authority;
}

/** A cluster that the operator itself logs in to. */
const wantsLogin = ({ sasl, tls }: KafkaBackend) => sasl !== undefined || tls?.certFile !== undefined;

async function ownPrincipal(step: KafkaStep, tools: Tools<AuditPipeline>, deps: Deps) {
  const { pipeline, backend, kafka } = step;
  const principal = rights(step, deps);
  const known = userIn(await ownSecret(pipeline, tools.store), principal.username);
  const keep = (user: PrincipalUser) => writeSecret(step, { user }, tools.store);
  const user = await ensurePrincipal({ pipeline, backend, kafka, principal, known }, keep, tools, deps);

  const found = await kafka.logins.probe({ user }, principal.acls);
  const fingerprint = credentialFingerprint(user.password);
  if (found.kind === "Refused" && maySetPassword(fingerprint)) {
    await kafka.principals.setPassword(user.username, scramOf(backend), user.password);
    const message = `Kafka refused the login of user ${user.username}; its password was set again`;
    throw new WaitingError("ProbeFailed", message, { requeueAfterMs: 1_000 });
  }
  if (found.kind === "Works") forgetRefusals(fingerprint);
  requireWorks(found, `user ${user.username}`);
  return access(pipeline, { user });
}

async function givenLogin(step: KafkaStep, { store }: Tools<AuditPipeline>, deps: Deps) {
  const { pipeline, backend, kafka } = step;
  const login = await readGivenLogin(backend);
  await writeSecret(step, login, store);
  const whose = `the login in clientSecretFile of back-end ${backend.name}`;
  requireWorks(await kafka.logins.probe(login, rights(step, deps).acls), whose);
  return access(pipeline, login);
}

function requireWorks(found: Awaited<ReturnType<Kafka["logins"]["probe"]>>, whose: string): void {
  if (found.kind === "Works") return;
  const message =
    found.kind === "Refused"
      ? `Kafka refuses ${whose}`
      : `Kafka does not let ${whose} ${found.acls.map(({ operation, resource, name }) => `${operation} ${resource.toLowerCase()} ${name}`).join(", ")}`;
  throw new WaitingError("KafkaUnauthorized", message, { requeueAfterMs: 15_000 });
}

const rights = ({ pipeline, topic }: KafkaStep, { config }: Deps): KafkaPrincipal =>
  desiredPrincipal({
    clusterId: config.clusterId,
    pipeline: pipeline.metadata,
    topicName: topic.topicName,
    deadLetterTopic: topic.deadLetterTopic,
    consumerGroups: pipeline.spec.sinks.map(({ name }) => sinkNames(pipeline.metadata, name).consumerGroup),
  });

async function readGivenLogin(backend: KafkaBackend): Promise<KafkaLogin> {
  const { name, sasl, clientSecretFile } = backend;
  if (clientSecretFile === undefined) {
    throw new WaitingError(
      "KafkaCredentialMissing",
      `Kafka back-end ${name} wants a login, and the sinks have none: set spec.kafka.principal.create: true, or ask the platform team for a clientSecretFile on it`,
      { requeueAfterMs: 60_000 },
    );
  }
  const login = await readClientLogin(backend, clientSecretFile);
  if (sasl !== undefined && login.user === undefined) {
    const message = `clientSecretFile of Kafka back-end ${name} holds no username and password, which sasl asks for`;
    throw new WaitingError("SecretMissing", message, { requeueAfterMs: 10_000 });
  }
  await refuseOperatorsOwn(backend, login);
  return login;
}

async function refuseOperatorsOwn(backend: KafkaBackend, { user, certificate }: KafkaLogin): Promise<void> {
  const own = await readOperatorLink(backend);
  const sameUser = user !== undefined && user.username === own.sasl?.username;
  const sameKey = certificate !== undefined && certificate.key.trim() === own.tls?.key?.trim();
  if (!sameUser && !sameKey) return;
  const message = `clientSecretFile of Kafka back-end ${backend.name} holds the operator's own login, which no tenant may have: make another user for the sinks`;
  throw new WaitingError("KafkaCredentialMissing", message, { requeueAfterMs: 60_000 });
}

/** @throws StalledError SecretConflict when a Secret of that name belongs to somebody else. */
async function ownSecret({ metadata: { namespace, name } }: AuditPipeline, store: ObjectStore) {
  const secretName = kafkaSecretName(name);
  const there = await store.get<Secret>({ kind: "Secret", namespace, name: secretName });
  if (there === undefined || there.metadata.labels?.[PIPELINE_LABEL] === name) return there;
  throw new StalledError(
    "SecretConflict",
    `Secret ${secretName} exists and is not this pipeline's; rename one of them`,
  );
}

/** What is in our Secret, unless somebody spoilt it. */
function userIn(secret: Secret | undefined, username: string): PrincipalUser | undefined {
  const read = (key: string) => Buffer.from(secret?.data?.[key] ?? "", "base64").toString("latin1");
  const password = read("password");
  return read("username") === username && /^[!-~]{20,200}$/.test(password) ? { username, password } : undefined;
}

async function writeSecret({ pipeline, backend, ca }: KafkaStep, login: KafkaLogin, store: ObjectStore): Promise<void> {
  await ownSecret(pipeline, store);
  const { namespace, name, uid } = pipeline.metadata;
  const { bootstrapServers } = backend;
  const desired = desiredKafkaSecret({ pipeline: { namespace, name, uid }, bootstrapServers, ca, ...login });
  await store.apply(desired, { fieldManager: FIELD_MANAGER });
}

const access = ({ metadata }: AuditPipeline, { user, certificate }: KafkaLogin) => ({
  name: kafkaSecretName(metadata.name),
  fingerprint: credentialFingerprint(JSON.stringify([user, certificate])),
  user: user !== undefined,
  certificate: certificate !== undefined,
});

/** The user, from when our Secret has its name: one that is somebody else's never comes into the inventory. */
export async function kafkaInventory(
  pipeline: AuditPipeline,
  { store }: Tools<AuditPipeline>,
  deps: Deps,
): Promise<InventoryItem[]> {
  const { principal } = pipeline.spec.kafka;
  if (principal?.create !== true) return [];
  const name = principalOf(pipeline, deps);
  const secret = await ownSecret(pipeline, store).catch(() => undefined);
  const before = pipeline.status?.inventory?.some((item) => item.kind === KAFKA_USER && item.name === name) === true;
  if (!before && userIn(secret, name) === undefined) return [];
  return [{ kind: KAFKA_USER, name, ownership: "Created", policy: principal.deletionPolicy }];
}
