import { StoreError, type StoreErrorKind } from "./ledger.ts";

/** division_by_zero: the only way our own statements say that a count is not what it must be. */
export const MISPREDICTED = "22012";
const UNIQUE_VIOLATION = "23505";
/** Of the id ledger's partitions, as the operator makes them. */
const idKey = /^event_ids_\d+_pkey$/;
/**
 * Where a server stands still until it is vacuumed, since it has no transaction ids left: it says so by the code of a row that
 * is too large (src/backend/access/transam/varsup.c, multixact.c), and no event is to blame.
 */
const outOfTransactionIds: readonly (string | undefined)[] = ["GetNewTransactionId", "GetNewMultiXactId"];

/**
 * What an error of the server or the connection means, by its code and never by its text
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html). Anything not named here is infrastructure.
 */
export function toStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { code, constraint, routine, message } = fieldsOf(error);
  // Without the error as a cause: a logger writes out all it has, and `detail` and `where` quote the row.
  return new StoreError(kindOf(code, constraint, routine), redact(message, code), { code });
}

function kindOf(code: Field, constraint: Field, routine: Field): StoreErrorKind {
  if (code === MISPREDICTED) return "Mispredicted";
  // An event that is there already. Any other unique key is somebody else's.
  if (code === UNIQUE_VIOLATION && idKey.test(constraint ?? "")) return "Mispredicted";
  // A missing table partition and a violated CHECK share the code; only the latter names a constraint.
  if (code === "23514" && !constraint) return "MissingMonth";
  // COPY's bytes do not fit the table: somebody changed it, and no record is to blame.
  if (code === "22P03" || code === "22P04") return "Infrastructure";
  if (code?.startsWith("22")) return "Poison";
  // program_limit_exceeded (an index row too large), statement_too_complex (JSON too deep)
  if (code === "54000" && outOfTransactionIds.includes(routine)) return "Infrastructure";
  if (code === "54000" || code === "54001") return "Poison";
  return "Infrastructure";
}

/** The message alone: `detail` and `where` quote values of the row. In a message about data what is quoted is a value too. */
function redact(message: string, code: string | undefined): string {
  const quoted = code?.startsWith("22") ? /"[^"]*"/g : /"[^"]{200,}"/g;
  return message.replace(quoted, '"…"').slice(0, 500);
}

type Field = string | undefined;

function fieldsOf(error: unknown): { code: Field; constraint: Field; routine: Field; message: string } {
  const { code, constraint, routine, message } = Object(error) as Record<string, unknown>;
  const said = typeof message === "string" ? message : "unknown error";
  return {
    code: textOf(code),
    constraint: textOf(constraint),
    routine: textOf(routine),
    message: typeof error === "object" && error !== null ? said : String(error),
  };
}

const textOf = (value: unknown): Field => (typeof value === "string" ? value : undefined);
