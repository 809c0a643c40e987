import type { Trouble } from "../link-watch.ts";
import { NO_ANSWER, POOLED, StoreError } from "./ledger.ts";

/** Most telling first: what a person must do differs. */
export const storeTroubleReasons = [
  "PostgresAuthenticationFailed",
  "PostgresAuthorizationFailed",
  "PostgresTlsFailed",
  "PostgresPooled",
  "PostgresUnreachable",
  "PostgresFailed",
] as const;
export type StoreTroubleReason = (typeof storeTroubleReasons)[number];

/** Codes of node:tls, of OpenSSL in it, and of an authority's file that is not there. */
const tlsCode =
  /^(CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_|CRL_|INVALID_CA|HOSTNAME_MISMATCH|ERR_TLS_|ERR_SSL_|EPROTO$|ENOENT$)/;
/** Where the client has no code for it. */
const tlsMessage = /SSL connection/;
/** SQLSTATE classes of a server that is there and cannot work for us now. */
const unreachable = /^(08|53|57P|58|25006)/;
/**
 * invalid_sql_statement_name, duplicate_prepared_statement: what we prepared is not there, or is there already. Nobody else
 * has our session, so we have not had one session all the time.
 */
const pooled: readonly string[] = [POOLED, "26000", "42P05"];
const sqlState = /^[0-9A-Z]{5}$/;

/** What a failure of the store means; undefined: the store answered, and about the events. */
export function storeTroubleOf(error: unknown): Trouble<StoreTroubleReason> | undefined {
  if (!(error instanceof StoreError) || error.kind !== "Infrastructure") return undefined;
  const { code = "", message } = error;
  if (code.startsWith("28"))
    return { reason: "PostgresAuthenticationFailed", detail: `the server refuses the login (SQLSTATE ${code})` };
  if (code === "42501") return { reason: "PostgresAuthorizationFailed", detail: message };
  if (tlsCode.test(code)) return { reason: "PostgresTlsFailed", detail: `no TLS connection came about (${code})` };
  if (code === "" && tlsMessage.test(message))
    return { reason: "PostgresTlsFailed", detail: "the server does not speak TLS" };
  if (pooled.includes(code))
    return {
      reason: "PostgresPooled",
      detail: "a pooler gives out sessions by the transaction: let it give out whole sessions",
    };
  if (code === NO_ANSWER) return { reason: "PostgresUnreachable", detail: "the server does not answer in time" };
  if (!sqlState.test(code)) return { reason: "PostgresUnreachable", detail: "no connection came about, or it broke" };
  if (unreachable.test(code)) return { reason: "PostgresUnreachable", detail: `${message} (SQLSTATE ${code})` };
  return { reason: "PostgresFailed", detail: `${message} (SQLSTATE ${code})` };
}

/** Whoever is answered has none of these. */
export const isOfConnection = (error: unknown): boolean =>
  ["PostgresAuthenticationFailed", "PostgresTlsFailed", "PostgresUnreachable"].includes(
    storeTroubleOf(error)?.reason ?? "",
  );
