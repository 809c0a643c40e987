import type { OperatorConfig } from "../config.ts";
import { StalledError } from "../errors.ts";

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
export function resolveBackend<B extends Backend>(
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

export const kafkaBackendOf = (config: OperatorConfig, namespace: string, backendRef: { name: string }) =>
  resolveBackend("kafka", config.backends.kafka, { namespace, backendRef });

export const postgresBackendOf = (config: OperatorConfig, namespace: string, backendRef: { name: string }) =>
  resolveBackend("postgres", config.backends.postgres, { namespace, backendRef });
