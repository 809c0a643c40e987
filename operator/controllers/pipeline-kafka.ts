import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KafkaBackend } from "../config.ts";
import { desiredKafkaSecret, kafkaSecretName } from "../desired/kafka-secret.ts";
import { PIPELINE_LABEL } from "../desired/sink-labels.ts";
import type { KafkaAccess } from "../desired/sink-workload.ts";
import { StalledError, WaitingError } from "../errors.ts";
import { type KafkaLogin, readClientLogin, readKafkaCa, readOperatorLink } from "../external/kafka-link.ts";
import { credentialFingerprint } from "../external/scram.ts";
import type { Tools } from "../runtime/controller.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";
import { FIELD_MANAGER } from "./field-manager.ts";

/**
 * What the pipeline's sinks reach their brokers with: the authority's certificate, and the login where the cluster wants
 * one. Never the operator's own, which can do everything.
 *
 * @throws WaitingError SecretMissing, KafkaCredentialMissing; StalledError SecretConflict
 */
export async function ensureKafkaAccess(
  pipeline: AuditPipeline,
  broker: { readonly backend: KafkaBackend } | undefined,
  { store }: Tools<AuditPipeline>,
): Promise<KafkaAccess> {
  // Without a topic there is no telling which cluster is meant; the topic's own report says why.
  if (broker === undefined) return {};
  const { backend } = broker;
  const ca = await readKafkaCa(backend);
  const authority = ca === undefined ? {} : { ca };
  if (!wantsLogin(backend)) return authority;

  const login = await givenLogin(backend);
  const secret = await writeSecret(pipeline, backend, login, ca, store);
  return { ...authority, secret };
}

/** A cluster that the operator itself logs in to. */
const wantsLogin = ({ sasl, tls }: KafkaBackend) => sasl !== undefined || tls?.certFile !== undefined;

async function givenLogin(backend: KafkaBackend): Promise<KafkaLogin> {
  const { name, sasl, clientSecretFile } = backend;
  if (clientSecretFile === undefined) {
    throw new WaitingError(
      "KafkaCredentialMissing",
      `Kafka back-end ${name} wants a login, and the sinks have none: ask the platform team for a clientSecretFile on it`,
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

async function writeSecret(
  { metadata }: AuditPipeline,
  backend: KafkaBackend,
  { user, certificate }: KafkaLogin,
  ca: string | undefined,
  store: ObjectStore,
): Promise<NonNullable<KafkaAccess["secret"]>> {
  const { namespace, name, uid } = metadata;
  const secretName = kafkaSecretName(name);
  const there = await store.get<KubeObject>({ kind: "Secret", namespace, name: secretName });
  if (there !== undefined && there.metadata.labels?.[PIPELINE_LABEL] !== name) {
    throw new StalledError(
      "SecretConflict",
      `Secret ${secretName} exists and is not this pipeline's; rename one of them`,
    );
  }
  const { bootstrapServers } = backend;
  const pipeline = { namespace, name, uid };
  await store.apply(desiredKafkaSecret({ pipeline, bootstrapServers, ca, user, certificate }), {
    fieldManager: FIELD_MANAGER,
  });
  return {
    name: secretName,
    fingerprint: credentialFingerprint(JSON.stringify([user, certificate])),
    user: user !== undefined,
    certificate: certificate !== undefined,
  };
}
