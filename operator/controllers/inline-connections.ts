import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import type { KafkaConnection, PostgresConnection } from "../../crds/v1alpha1/connections.ts";
import type {
  InlineKafkaSecrets,
  InlinePostgresSecrets,
  KafkaBackend,
  OperatorConfig,
  PostgresBackend,
} from "../config.ts";
import { StalledError, WaitingError } from "../errors.ts";
import type { KubeObject, ObjectStore } from "../runtime/object-store.ts";

type Policy = Pick<OperatorConfig, "inlineConnections" | "inlineAllowedCidrs">;
type Secrets = Pick<ObjectStore, "get">;

/**
 * A connection of a resource's own, as a back-end: no name of it is anybody else's, so it has no namePrefix, and it may
 * adopt. Its Secrets are read in each pass, by their names and in the resource's own namespace, so that a change of one is
 * taken up, and one that is missing is looked for again.
 *
 * @throws StalledError InlineConnectionDenied
 */
export function inlineKafka(
  config: Policy,
  { namespace, connection, store }: { namespace: string; connection: KafkaConnection; store: Secrets },
): KafkaBackend {
  requireAllowed(config, "kafka.connection");
  const { bootstrapServers, tls, sasl } = connection;
  return {
    name: `connection ${bootstrapServers[0]}`,
    bootstrapServers,
    ...(tls === undefined ? {} : { tls: {} }),
    // The back-end's fields name files; what stands for them is in `inline`.
    ...(sasl === undefined ? {} : { sasl: { mechanism: sasl.mechanism, secretFile: "" } }),
    ...FREE,
    replicationFactor: 1,
    maxPartitions: 10_000,
    grants: [],
    inline: {
      id: JSON.stringify(["kafka", namespace, connection]),
      allowedCidrs: config.inlineAllowedCidrs,
      read: onceOk(() =>
        kafkaSecrets(connection, (field, ref) => keysOf(store, namespace, `kafka.connection.${field}`, ref)),
      ),
    },
  };
}

/** @throws StalledError InlineConnectionDenied */
export function inlinePostgres(
  config: Policy,
  { namespace, connection, store }: { namespace: string; connection: PostgresConnection; store: Secrets },
): PostgresBackend {
  requireAllowed(config, "postgres.connection");
  const { host, port, sslMode } = connection;
  return {
    name: `connection ${host}:${port}`,
    ...{ host, port, sslMode, adminSecretFile: "", maintenanceDatabase: "postgres" },
    ...FREE,
    allowDelete: true,
    allowAdoption: true,
    inline: {
      id: JSON.stringify(["postgres", namespace, connection]),
      allowedCidrs: config.inlineAllowedCidrs,
      read: onceOk(() =>
        postgresSecrets(connection, (field, ref) => keysOf(store, namespace, `postgres.connection.${field}`, ref)),
      ),
    },
  };
}

const FREE = { namePrefix: "", allowedNamespaces: ["*"] };

function requireAllowed({ inlineConnections }: Policy, field: string): void {
  if (inlineConnections === "Allow") return;
  throw new StalledError(
    "InlineConnectionDenied",
    `${field}: the operator does not allow connections of a resource's own; use backendRef, or ask the platform team for a back-end, or to set inlineConnections: Allow`,
  );
}

/** A pass makes many calls over one connection, and reads its Secrets for the first. */
function onceOk<T>(read: () => Promise<T>): () => Promise<T> {
  let known: Promise<T> | undefined;
  return () => {
    known ??= read().catch((error: unknown) => {
      known = undefined;
      throw error;
    });
    return known;
  };
}

type Read = (field: string, ref: { name: string }) => Promise<SecretKeys>;

async function kafkaSecrets({ tls, sasl }: KafkaConnection, read: Read): Promise<InlineKafkaSecrets> {
  const ca = tls?.caSecretRef && authority(await read("tls.caSecretRef", tls.caSecretRef));
  const user = sasl && login(await read("sasl.secretRef", sasl.secretRef));
  const ref = tls?.clientCertificateSecretRef;
  const certificate = ref && keyPair(await read("tls.clientCertificateSecretRef", ref));
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(user === undefined ? {} : { user }),
    ...(certificate === undefined ? {} : { certificate }),
  };
}

async function postgresSecrets(
  { sslMode, caSecretRef, adminSecretRef }: PostgresConnection,
  read: Read,
): Promise<InlinePostgresSecrets> {
  const checks = sslMode === "VerifyCa" || sslMode === "VerifyFull";
  const ca = checks && caSecretRef ? authority(await read("caSecretRef", caSecretRef)) : undefined;
  return { ...(ca === undefined ? {} : { ca }), admin: login(await read("adminSecretRef", adminSecretRef)) };
}

/** One Secret; its keys, and how to say of one what is wrong. */
interface SecretKeys {
  text(key: string): string;
  unusable(keys: string, why: string): WaitingError;
}

interface Secret extends KubeObject {
  data?: Record<string, string>;
}

/** The content never gets into an error. */
async function keysOf(
  store: Secrets,
  namespace: string,
  field: string,
  { name }: { name: string },
): Promise<SecretKeys> {
  const wait = (message: string) => new WaitingError("SecretMissing", message, { requeueAfterMs: 5_000 });
  const secret = await store.get<Secret>({ kind: "Secret", namespace, name });
  if (secret === undefined)
    throw wait(`${field}: there is no Secret ${name} in namespace ${namespace}; create it, it is looked for again`);
  const unusable = (keys: string, why: string) => wait(`${field}: ${keys} of Secret ${name} ${why}`);
  return {
    unusable,
    text(key) {
      const bytes = Buffer.from(secret.data?.[key] ?? "", "base64");
      if (bytes.length === 0) throw unusable(key, "is missing or empty; add it");
      try {
        return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
      } catch {
        throw unusable(key, "is no text (UTF-8); put the right content there");
      }
    },
  };
}

function login(keys: SecretKeys): { username: string; password: string } {
  const one = (key: string) => {
    // Files made by hand often end with a newline that is not part of it.
    const text = keys.text(key).replace(/\r?\n$/, "");
    if (text === "" || text.length > 1_024 || /\p{Cc}/u.test(text))
      throw keys.unusable(key, "is empty, too long or holds control characters; put the right content there");
    return text;
  };
  return { username: one("username"), password: one("password") };
}

function authority(keys: SecretKeys): string {
  const ca = keys.text("ca.crt");
  if (!isUsable(() => new X509Certificate(ca)))
    throw keys.unusable("ca.crt", "holds no certificate in PEM; put the server's authority there");
  return ca;
}

function keyPair(keys: SecretKeys): { cert: string; key: string } {
  const pair = { cert: keys.text("tls.crt"), key: keys.text("tls.key") };
  if (!isUsable(() => createSecureContext(pair)))
    throw keys.unusable("tls.crt and tls.key", "are no certificate and its key in PEM; put them there");
  return pair;
}

function isUsable(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch {
    return false;
  }
}
