import { StalledError, WaitingError } from "../errors.ts";

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
}

/**
 * What a failed call means, by code. `what` says what was being done, with the object's name.
 * @throws always
 */
export function fromKafka(error: unknown, what: string): never {
  const faults = faultsIn(error);
  const apiIds = faults.flatMap(({ apiId }) => (apiId === undefined ? [] : [apiId]));
  const said = faults.map(({ serverErrorMessage }) => serverErrorMessage).find((message) => message) ?? "";
  const detail = `${apiIds[0] ?? faults[0]?.code ?? "unknown"}${said === "" ? "" : `: ${said}`}`;

  if (apiIds.some((id) => UNAUTHORIZED.has(id)) || faults.some(({ code }) => code === "PLT_KFK_AUTHENTICATION")) {
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
export const isUnknownTopic = (error: unknown) =>
  hasApiId(error, "UNKNOWN_TOPIC_OR_PARTITION") || faultsIn(error).some(({ code }) => code === "PLT_KFK_USER");

/** The client nests: several brokers, several attempts, several topics. Outermost first. */
function faultsIn(error: unknown): KafkaFault[] {
  if (typeof error !== "object" || error === null) return [];
  const nested = error instanceof AggregateError ? error.errors : [];
  const inner = nested.flatMap(faultsIn);
  const own = error as KafkaFault;
  // An aggregate's own code says no more than that it is one.
  return inner.length > 0 ? inner : [own];
}
