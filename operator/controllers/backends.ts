import type { AuditTopic } from "../../crds/v1alpha1/audit-topic.ts";
import type { KafkaConnection, PostgresConnection } from "../../crds/v1alpha1/connections.ts";
import type { KafkaBackend, OperatorConfig, PostgresBackend } from "../config.ts";
import { StalledError } from "../errors.ts";
import type { ObjectStore } from "../runtime/object-store.ts";
import { inlineKafka, inlinePostgres } from "./inline-connections.ts";

interface Backend {
  readonly name: string;
  readonly allowedNamespaces: readonly string[];
}

/**
 * The back-end a resource names, if its namespace may use it.
 *
 * @throws StalledError BackendNotFound, NamespaceNotAllowed. The message says what the operator knows, so that a tenant
 * can put it right without seeing the platform's configuration: names only, no endpoint.
 */
function resolveBackend<B extends Backend>(
  kind: "kafka" | "postgres",
  backends: readonly B[],
  { namespace, backendRef }: { namespace: string; backendRef: { name: string } },
): B {
  const backend = backends.find(({ name }) => name === backendRef.name);
  if (backend === undefined) {
    const names = backends.filter((other) => isAllowed(other, namespace)).map(({ name }) => name);
    throw new StalledError(
      "BackendNotFound",
      `backendRef.name: ${JSON.stringify(backendRef.name)} is no ${kind} back-end of the operator; ${
        names.length === 0
          ? "this namespace has none: ask the platform team for one"
          : `this namespace may use ${names.join(", ")}`
      }`,
    );
  }
  if (!isAllowed(backend, namespace)) {
    throw new StalledError(
      "NamespaceNotAllowed",
      `backendRef.name: the ${kind} back-end ${JSON.stringify(backend.name)} does not allow namespace ${JSON.stringify(namespace)}; ask the platform team to add it to allowedNamespaces`,
    );
  }
  return backend;
}

const isAllowed = ({ allowedNamespaces }: Backend, namespace: string) =>
  allowedNamespaces.includes("*") || allowedNamespaces.includes(namespace);

/** A resource, as far as it says where something lies. */
interface Site<Connection> {
  readonly namespace: string;
  readonly backendRef?: { readonly name: string } | undefined;
  readonly connection?: Connection | undefined;
}

type Secrets = Pick<ObjectStore, "get">;
const DEFAULT = { name: "default" };

/** @throws StalledError BackendNotFound, NamespaceNotAllowed, InlineConnectionDenied */
export function kafkaBackendOf(config: OperatorConfig, site: Site<KafkaConnection>, store: Secrets): KafkaBackend {
  const { namespace, backendRef = DEFAULT, connection } = site;
  return connection === undefined
    ? resolveBackend("kafka", config.backends.kafka, { namespace, backendRef })
    : inlineKafka(config, { namespace, connection, store });
}

/** @throws StalledError BackendNotFound, NamespaceNotAllowed, InlineConnectionDenied */
export function postgresBackendOf(
  config: OperatorConfig,
  site: Site<PostgresConnection>,
  store: Secrets,
): PostgresBackend {
  const { namespace, backendRef = DEFAULT, connection } = site;
  return connection === undefined
    ? resolveBackend("postgres", config.backends.postgres, { namespace, backendRef })
    : inlinePostgres(config, { namespace, connection, store });
}

/** Where an AuditTopic's topic lies. */
export const siteOf = ({ metadata: { namespace }, spec: { kafka } }: AuditTopic): Site<KafkaConnection> => ({
  namespace,
  ...kafka,
});
