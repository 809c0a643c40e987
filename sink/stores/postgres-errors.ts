import { StoreError, type StoreErrorKind } from "./ledger.ts";

/** division_by_zero: the only way our own statements say that a count is not what it must be. */
export const MISPREDICTED = "22012";
const UNIQUE_VIOLATION = "23505";
/** Of the id ledger's partitions, as the operator makes them. */
const idKey = /^event_ids_\d+_pkey$/;

/**
 * What an error of the server or the connection means, by its code and never by its text
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html). Anything not named here is infrastructure.
 */
export function toStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { code, constraint, message } = fieldsOf(error);
  // Without the error as a cause: a logger writes out all it has, and `detail` and `where` quote the row.
  return new StoreError(kindOf(code, constraint), redact(message, code), { code });
}

function kindOf(code: string | undefined, constraint: string | undefined): StoreErrorKind {
  if (code === MISPREDICTED) return "Mispredicted";
  // An event that is there already. Any other unique key is somebody else's.
  if (code === UNIQUE_VIOLATION && idKey.test(constraint ?? "")) return "Mispredicted";
  // A missing table partition and a violated CHECK share the code; only the latter names a constraint.
  if (code === "23514" && !constraint) return "MissingMonth";
  // COPY's bytes do not fit the table: somebody changed it, and no record is to blame.
  if (code === "22P03" || code === "22P04") return "Infrastructure";
  if (code?.startsWith("22")) return "Poison";
  // program_limit_exceeded (an index row too large), statement_too_complex (JSON too deep)
  if (code === "54000" || code === "54001") return "Poison";
  return "Infrastructure";
}

/** The message alone: `detail` and `where` quote values of the row. In a message about data what is quoted is a value too. */
function redact(message: string, code: string | undefined): string {
  const quoted = code?.startsWith("22") ? /"[^"]*"/g : /"[^"]{200,}"/g;
  return message.replace(quoted, '"…"').slice(0, 500);
}

function fieldsOf(error: unknown): { code: string | undefined; constraint: string | undefined; message: string } {
  if (typeof error !== "object" || error === null) {
    return { code: undefined, constraint: undefined, message: String(error) };
  }
  const { code, constraint, message } = error as { code?: unknown; constraint?: unknown; message?: unknown };
  return {
    code: typeof code === "string" ? code : undefined,
    constraint: typeof constraint === "string" ? constraint : undefined,
    message: typeof message === "string" ? message : "unknown error",
  };
}
