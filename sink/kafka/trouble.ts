import type { Trouble as LinkTrouble } from "../link-watch.ts";
import { TopicMissingError } from "./port.ts";
import { AuthenticationError, BrokerError, ConnectionError } from "./protocol.ts";

/** Most telling first: what a person must do differs. */
export const troubleReasons = [
  "KafkaAuthenticationFailed",
  "KafkaAuthorizationFailed",
  "KafkaTlsFailed",
  "TopicMissing",
  "KafkaUnreachable",
] as const;
export type TroubleReason = (typeof troubleReasons)[number];

export type Trouble = LinkTrouble<TroubleReason>;

/** Codes of node:tls, of OpenSSL in it, and of a socket that was spoken to in the wrong language. */
const tlsCode =
  /^(CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|CRL_|INVALID_CA|HOSTNAME_MISMATCH|ERR_TLS_|ERR_SSL_|EPROTO$)/;
/** Where a client has no code for it. */
const tlsMessage = /requires TLS|TLS handshake failed|before secure TLS connection/;

/** What an error of either client means; undefined: nothing that has to do with reaching Kafka. */
export function troubleOf(error: unknown): Trouble | undefined {
  const found = errorsIn(error).flatMap((each) => troubleIn(each) ?? []);
  return found.toSorted((a, b) => troubleReasons.indexOf(a.reason) - troubleReasons.indexOf(b.reason))[0];
}

function troubleIn(error: Error): Trouble | undefined {
  const { code } = error as { code?: unknown };
  if (error instanceof AuthenticationError)
    return { reason: "KafkaAuthenticationFailed", detail: "the brokers refuse the login" };
  if (
    error instanceof BrokerError &&
    error.is("TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED")
  )
    return { reason: "KafkaAuthorizationFailed", detail: error.message };
  if (typeof code === "string" && tlsCode.test(code))
    return { reason: "KafkaTlsFailed", detail: `no TLS connection came about (${code})` };
  if (tlsMessage.test(error.message))
    return { reason: "KafkaTlsFailed", detail: "one end speaks TLS and the other does not" };
  if (error instanceof TopicMissingError) return { reason: "TopicMissing", detail: error.message };
  if (error instanceof ConnectionError) return { reason: "KafkaUnreachable", detail: "no broker answers" };
  return undefined;
}

/** Errors nest: several brokers, several attempts, and what the socket said. */
function errorsIn(error: unknown): Error[] {
  if (!(error instanceof Error)) return [];
  const nested: unknown[] = error instanceof AggregateError ? error.errors : [];
  return [error, ...[...nested, error.cause].flatMap(errorsIn)];
}
