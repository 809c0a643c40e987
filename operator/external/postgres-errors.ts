import { DatabaseError } from "pg";
import { WaitingError } from "../errors.ts";

/** SQLSTATE, or its class (first two characters), to what it means for the next try. */
const MEANING: Readonly<Record<string, { reason: string; requeueAfterMs: number }>> = {
  "28": { reason: "PostgresUnauthorized", requeueAfterMs: 30_000 },
  "42501": { reason: "PermissionDenied", requeueAfterMs: 30_000 },
  "08": { reason: "PostgresUnreachable", requeueAfterMs: 5_000 },
  "53": { reason: "PostgresUnreachable", requeueAfterMs: 10_000 },
  "57P": { reason: "PostgresUnreachable", requeueAfterMs: 5_000 },
  "58": { reason: "PostgresUnreachable", requeueAfterMs: 10_000 },
  // Read-only: a failover is under way.
  "25006": { reason: "PostgresUnreachable", requeueAfterMs: 10_000 },
  // Somebody works on the same object; the next pass looks again.
  "40": { reason: "ObjectBusy", requeueAfterMs: 2_000 },
  "55P03": { reason: "ObjectBusy", requeueAfterMs: 2_000 },
  "57014": { reason: "ObjectBusy", requeueAfterMs: 5_000 },
  "55006": { reason: "ObjectBusy", requeueAfterMs: 5_000 },
};

/**
 * What a failed statement means, by SQLSTATE. `what` says what was being done, with the object's name; no statement
 * text goes into the message, since it may hold a verifier.
 * @throws always
 */
export function fromPostgres(error: unknown, what: string): never {
  if (isOurs(error)) throw error;
  const code = sqlState(error);
  const meaning = code && (MEANING[code] ?? MEANING[code.slice(0, 3)] ?? MEANING[code.slice(0, 2)]);
  if (meaning) {
    const { reason, requeueAfterMs } = meaning;
    const detail = code === "42501" && error instanceof DatabaseError && error.detail ? `: ${error.detail}` : "";
    throw new WaitingError(reason, `${what}: ${said(error)}${detail} (SQLSTATE ${code})`, {
      requeueAfterMs,
      cause: error,
    });
  }
  // No SQLSTATE: the connection broke, which node says with a code of its own and the client with none.
  if (code === undefined && error instanceof Error && isLostConnection(error)) {
    throw new WaitingError("PostgresUnreachable", `${what}: ${error.message}`, { cause: error });
  }
  throw error;
}

/** SQLSTATE classes of what goes by itself: nothing was said of the statement as such. */
const PASSING = ["08", "25006", "40", "53", "55", "57", "58"];
export const isPassing = (code: string) => PASSING.some((prefix) => code.startsWith(prefix));

/**
 * The same for a connection that did not come about: whatever the server has not said itself (names, sockets, TLS with
 * its many codes) means that it cannot be reached as it is configured.
 * @throws always
 */
export function fromConnecting(error: unknown, what: string): never {
  if (isOurs(error) || sqlState(error) !== undefined) return fromPostgres(error, what);
  throw new WaitingError("PostgresUnreachable", `${what}: ${said(error)}`, { cause: error });
}

/** Undefined for what the server has not said itself. */
export const sqlState = (error: unknown): string | undefined =>
  error instanceof DatabaseError ? error.code : undefined;

const codeOf = (error: unknown) =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;

/** node:net's codes (ECONNRESET, EPIPE, ...); the client's own errors about a connection have none. */
function isLostConnection(error: Error): boolean {
  const code = codeOf(error);
  return code === undefined ? /connect|terminated|timeout/i.test(error.message) : /^E[A-Z]+$/.test(code);
}

const said = (error: unknown) => (error instanceof Error ? error.message : "failed");

const isOurs = (error: unknown) =>
  error instanceof Error && (error.name === "WaitingError" || error.name === "StalledError");
