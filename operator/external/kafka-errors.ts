import { StalledError, WaitingError } from "../errors.ts";
import { tlsProblem } from "./kafka-tls-errors.ts";

/** Codes of org.apache.kafka.common.protocol.Errors, as @platformatic/kafka spells them in `apiId`. */
const UNAUTHORIZED = new Set([
  "TOPIC_AUTHORIZATION_FAILED",
  "GROUP_AUTHORIZATION_FAILED",
  "CLUSTER_AUTHORIZATION_FAILED",
  "SASL_AUTHENTICATION_FAILED",
]);
const INVALID = new Set([
  "INVALID_CONFIG",
  "INVALID_TOPIC_EXCEPTION",
  "INVALID_PARTITIONS",
  "INVALID_REPLICA_ASSIGNMENT",
  "INVALID_REQUEST",
  "POLICY_VIOLATION",
  // delete.topic.enable=false
  "TOPIC_DELETION_DISABLED",
]);

interface KafkaFault {
  readonly code?: string;
  readonly apiId?: string;
  readonly canRetry?: boolean;
  readonly serverErrorMessage?: string | null;
  readonly cause?: unknown;
}

/**
 * What a failed call means, by code. `what` says what was being done, with the object's name.
 * @throws always
 */
export function fromKafka(error: unknown, what: string): never {
  const ours = oursIn(error);
  if (ours !== undefined) throw ours;
  const faults = faultsIn(error);
  const apiIds = faults.flatMap(({ apiId }) => (apiId === undefined ? [] : [apiId]));
  const said = faults.map(({ serverErrorMessage }) => serverErrorMessage).find((message) => message) ?? "";
  const detail = `${apiIds[0] ?? faults.at(-1)?.code ?? "unknown"}${said === "" ? "" : `: ${said}`}`;

  if (faults.some(({ code }) => code === "PLT_KFK_AUTHENTICATION")) {
    throw new WaitingError("KafkaUnauthorized", `${what}: the brokers refuse the login`, {
      requeueAfterMs: 30_000,
      cause: error,
    });
  }
  const tls =
    apiIds.length > 0 || isUnknownTopic(error) ? [] : faults.flatMap(({ code = "" }) => tlsProblem(code) ?? []);
  if (tls.length > 0)
    throw new WaitingError("KafkaTlsFailed", `${what}: ${tls.at(-1)}`, { requeueAfterMs: 30_000, cause: error });
  if (apiIds.some((id) => UNAUTHORIZED.has(id))) {
    throw new WaitingError("KafkaUnauthorized", `${what}: the brokers refuse it (${detail})`, {
      requeueAfterMs: 30_000,
      cause: error,
    });
  }
  if (apiIds.some((id) => INVALID.has(id))) {
    throw new StalledError("InvalidTopicConfig", `${what}: refused (${detail})`, { cause: error });
  }
  // Also what brokers answer while too few of them are up, so that waiting may help.
  if (apiIds.includes("INVALID_REPLICATION_FACTOR")) {
    throw new WaitingError("InvalidTopicConfig", `${what}: refused (${detail})`, {
      requeueAfterMs: 30_000,
      cause: error,
    });
  }
  if (faults.some(({ code, canRetry }) => code === "PLT_KFK_NETWORK" || canRetry === true)) {
    throw new WaitingError("KafkaUnreachable", `${what}: no answer from the brokers (${detail})`, { cause: error });
  }
  throw error;
}

export const hasApiId = (error: unknown, apiId: string) => faultsIn(error).some((fault) => fault.apiId === apiId);

/** The client says so, of a name in a well-formed request, by its class for caller's mistakes, without an API code. */
export const isUnknownTopic = (error: unknown) => {
  const faults = faultsIn(error);
  if (faults.some(({ apiId }) => apiId === "UNKNOWN_TOPIC_OR_PARTITION")) return true;
  // The same class, for a connection that did not come about, says that the brokers speak TLS.
  const caller = faults.some(({ code }) => code === "PLT_KFK_USER");
  return caller && !faults.some(({ code }) => code === "PLT_KFK_NETWORK") && !/TLS/.test(messagesOf(error));
};

/** The broker ended the connection and gave no reason. */
export const wasHungUp = (error: unknown) => {
  const faults = faultsIn(error);
  return faults.length > 0 && faults.every(({ code }) => code === "PLT_KFK_NETWORK" || code === "ECONNRESET");
};

function messagesOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const nested = error instanceof AggregateError ? error.errors : [];
  return [error.message, ...[...nested, error.cause].map(messagesOf)].join("\n");
}

/** The client nests: several brokers, several attempts, several topics, and what the socket said. Outermost first. */
function faultsIn(error: unknown): KafkaFault[] {
  if (typeof error !== "object" || error === null) return [];
  const own = error as KafkaFault;
  const nested = error instanceof AggregateError ? error.errors : [];
  const inner = [...nested, own.cause].flatMap(faultsIn);
  // An aggregate's own code says no more than that it is one.
  return nested.length > 0 && inner.length > 0 ? inner : [own, ...inner];
}

/** What an address guard or a Secret's reader said, inside what the client made of it. */
function oursIn(error: unknown): WaitingError | StalledError | undefined {
  if (error instanceof WaitingError || error instanceof StalledError) return error;
  if (!(error instanceof Error)) return undefined;
  const nested: unknown[] = error instanceof AggregateError ? error.errors : [];
  return [...nested, error.cause].map(oursIn).find((found) => found !== undefined);
}
