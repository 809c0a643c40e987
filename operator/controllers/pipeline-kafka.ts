import type { AuditPipeline, InventoryItem } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaBackend } from "../config.ts";
import { desiredRights, type KafkaAcl } from "../desired/kafka-principal.ts";
import { kafkaSecretName } from "../desired/kafka-secret.ts";
import type { KafkaAccess } from "../desired/sink-files.ts";
import { sinkNames } from "../desired/sink-names.ts";
import { WaitingError } from "../errors.ts";
import type { Kafka } from "../external/connect-kafka.ts";
import { type KafkaLogin, readClientLogin, readKafkaCa, readOperatorLink } from "../external/kafka-link.ts";
import { credentialFingerprint } from "../external/scram.ts";
import type { IssuedPrincipal } from "../plan/principal-rotation.ts";
import type { TeardownItem } from "../plan/sink-teardown.ts";
import type { Tools } from "../runtime/controller.ts";
import type { TopicInUse } from "../status/audit-pipeline.ts";
import { type Deps, rfc3339 } from "./deps.ts";
import { keptNames, principalIn, readKafkaSecret, writeKafkaSecret, writePrincipal } from "./kafka-login-secret.ts";
import { forgetRefusals, maySetPassword } from "./password-resets.ts";
import { ensurePrincipal, KAFKA_USER, type PrincipalStep, principalNamesOf, scramOf } from "./pipeline-principal.ts";
import { rotatePrincipal, rotationDueInMs } from "./rotate-principal.ts";
import { rotationNow } from "./rotation.ts";

interface KafkaStep {
  readonly pipeline: AuditPipeline;
  readonly topic: TopicInUse;
  readonly backend: KafkaBackend;
  readonly kafka: Kafka;
  /** PEM, where the back-end has an authority of its own. */
  readonly ca: string | undefined;
}

export interface ReadyAccess {
  readonly access: KafkaAccess;
  /** The pipeline's own. */
  readonly user?: { readonly name: string; readonly issuedAt: string };
  /** When something falls due by itself. */
  readonly lookAgainMs?: number | undefined;
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
): Promise<ReadyAccess> {
  // Without a topic there is no telling which cluster is meant; the topic's own report says why.
  if (topic === undefined || broker === undefined) return { access: {} };
  const ca = await readKafkaCa(broker.backend);
  const authority = ca === undefined ? {} : { ca };
  const step: KafkaStep = { pipeline, topic, ca, ...broker };
  const ownsUser = pipeline.spec.kafka.principal?.create === true;
  if (!ownsUser && !(await wantsLogin(broker.backend))) return { access: authority };
  const { secret, ...found } = await (ownsUser ? ownPrincipal(step, tools, deps) : givenLogin(step, tools));
  return { access: { ...authority, secret }, ...found };
}

interface PipelineLogin extends Omit<ReadyAccess, "access"> {
  readonly secret: NonNullable<KafkaAccess["secret"]>;
}

/** A cluster that the operator itself logs in to. */
const wantsLogin = async ({ sasl, tls, inline }: KafkaBackend) =>
  sasl !== undefined || tls?.certFile !== undefined || (await inline?.read())?.certificate !== undefined;

async function ownPrincipal(step: KafkaStep, tools: Tools<AuditPipeline>, deps: Deps): Promise<PipelineLogin> {
  const { pipeline, backend, kafka } = step;
  const names = principalNamesOf(pipeline, deps);
  const rotation = rotationNow(pipeline, pipeline.spec.kafka.principal?.rotation ?? NEVER, deps);
  const principal: PrincipalStep = {
    ...{ pipeline, backend, kafka, names, rotation, acls: rights(step) },
    known: principalIn(await readKafkaSecret(pipeline, tools.store), names, rotation.nowMs),
    keep: (user) => writePrincipal(step, user, tools.store),
  };
  const ensured = await ensurePrincipal(principal, tools, deps);
  await proveLogin(principal, ensured);
  const user = await rotatePrincipal(principal, ensured, tools);
  return {
    secret: access(pipeline, { user: { username: user.username, password: user.password } }),
    user: { name: user.username, issuedAt: rfc3339(new Date(user.issuedAtMs)) },
    lookAgainMs: rotationDueInMs(principal, user),
  };
}

const NEVER = { overlap: "24h" };

async function proveLogin({ kafka, backend, acls }: PrincipalStep, { username, password }: IssuedPrincipal) {
  const found = await kafka.logins.probe({ user: { username, password } }, acls);
  const fingerprint = credentialFingerprint(password);
  if (found.kind === "Refused" && maySetPassword(fingerprint)) {
    await kafka.principals.setPassword(username, scramOf(backend), password);
    const message = `Kafka refused the login of user ${username}; its password was set again`;
    throw new WaitingError("ProbeFailed", message, { requeueAfterMs: 1_000 });
  }
  if (found.kind === "Works") forgetRefusals(fingerprint);
  requireWorks(found, `user ${username}`);
}

async function givenLogin(step: KafkaStep, { store }: Tools<AuditPipeline>): Promise<PipelineLogin> {
  const { pipeline, backend, kafka } = step;
  const login = await readGivenLogin(backend);
  await writeKafkaSecret(step, login, undefined, store);
  const whose = `the login ${backend.inline === undefined ? "in clientSecretFile of back-end" : "of"} ${backend.name}`;
  requireWorks(await kafka.logins.probe(login, rights(step)), whose);
  return { secret: access(pipeline, login) };
}

function requireWorks(found: Awaited<ReturnType<Kafka["logins"]["probe"]>>, whose: string): void {
  if (found.kind === "Works") return;
  const message =
    found.kind === "Refused"
      ? `Kafka refuses ${whose}`
      : `Kafka does not let ${whose} ${found.acls.map(({ operation, resource, name }) => `${operation} ${resource.toLowerCase()} ${name}`).join(", ")}`;
  throw new WaitingError("KafkaUnauthorized", message, { requeueAfterMs: 15_000 });
}

const rights = ({ pipeline, topic }: KafkaStep): KafkaAcl[] =>
  desiredRights({
    topicName: topic.topicName,
    deadLetterTopic: topic.deadLetterTopic,
    consumerGroups: pipeline.spec.sinks.map(({ name }) => sinkNames(pipeline.metadata, name).consumerGroup),
  });

async function readGivenLogin(backend: KafkaBackend): Promise<KafkaLogin> {
  const { name, sasl, clientSecretFile, inline } = backend;
  // It is the tenant's, and in a Secret beside the one for the sinks.
  if (inline !== undefined) return inline.read();
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

const access = ({ metadata }: AuditPipeline, { user, certificate }: KafkaLogin) => ({
  name: kafkaSecretName(metadata.name),
  fingerprint: credentialFingerprint(JSON.stringify([user, certificate])),
  user: user !== undefined,
  certificate: certificate !== undefined,
});

/** The users, from when our Secret has their names: one that is somebody else's never comes into the inventory. */
export async function kafkaInventory(
  pipeline: AuditPipeline,
  { store }: Tools<AuditPipeline>,
  deps: Deps,
): Promise<InventoryItem[]> {
  const { principal } = pipeline.spec.kafka;
  if (principal?.create !== true) return [];
  const before = pipeline.status?.inventory?.filter(({ kind }) => kind === KAFKA_USER) ?? [];
  const secret = await readKafkaSecret(pipeline, store).catch(() => undefined);
  const kept = keptNames(secret, principalNamesOf(pipeline, deps));
  const users = kept.length === 0 ? before.map(({ name }) => name) : kept;
  return users.map((name) => ({ kind: KAFKA_USER, name, ownership: "Created", policy: principal.deletionPolicy }));
}

/** What a deletion would do to them now. */
export const kafkaTeardown = (inventory: readonly InventoryItem[]): readonly TeardownItem[] =>
  inventory.map(({ kind, name, policy }) => ({
    ...{ kind, name, action: policy === "Delete" ? "Deleted" : "Retained" },
    reason: `kafka.principal.deletionPolicy is ${policy}`,
  }));
