import { inspect } from "node:util";
import { DatabaseError } from "pg";
import { describe, expect, test } from "vitest";
import type { StoreErrorKind } from "./ledger.ts";
import { toStoreError } from "./postgres-errors.ts";

// What each answer of the server costs: poison puts one event aside for good, infrastructure holds everything and loses
// nothing. An outage taken for poison empties a topic into its dead letters.

const answer = (code: string, constraint?: string) => {
  const error = new DatabaseError("refused", 0, "error");
  error.code = code;
  error.constraint = constraint;
  return error;
};

describe("an answer of the server", () => {
  test.for<[code: string, kind: StoreErrorKind, means: string]>([
    ["22001", "Poison", "string_data_right_truncation"],
    ["22003", "Poison", "numeric_value_out_of_range"],
    ["22008", "Poison", "datetime_field_overflow"],
    ["22021", "Poison", "character_not_in_repertoire"],
    ["22P02", "Poison", "invalid_text_representation"],
    ["22P05", "Poison", "untranslatable_character"],
    ["54000", "Poison", "program_limit_exceeded"],
    ["54001", "Poison", "statement_too_complex"],
    ["08006", "Infrastructure", "connection_failure"],
    ["25006", "Infrastructure", "read_only_sql_transaction: a failover is under way"],
    ["25P03", "Infrastructure", "idle_in_transaction_session_timeout"],
    ["28P01", "Infrastructure", "invalid_password"],
    ["3D000", "Infrastructure", "invalid_catalog_name: the database is gone"],
    ["40001", "Infrastructure", "serialization_failure"],
    ["40P01", "Infrastructure", "deadlock_detected"],
    ["42501", "Infrastructure", "insufficient_privilege"],
    ["42P01", "Infrastructure", "undefined_table"],
    ["42703", "Infrastructure", "undefined_column: somebody altered the table"],
    ["53100", "Infrastructure", "disk_full"],
    ["53200", "Infrastructure", "out_of_memory"],
    ["53300", "Infrastructure", "too_many_connections"],
    ["55P03", "Infrastructure", "lock_not_available"],
    ["57014", "Infrastructure", "query_canceled: statement_timeout"],
    ["57P01", "Infrastructure", "admin_shutdown"],
    ["57P02", "Infrastructure", "crash_shutdown"],
    ["57P03", "Infrastructure", "cannot_connect_now: it is starting"],
    ["58030", "Infrastructure", "io_error"],
    ["XX000", "Infrastructure", "internal_error"],
    ["XX001", "Infrastructure", "data_corrupted"],
    ["99999", "Infrastructure", "no code anybody knows"],
    ["23505", "Infrastructure", "unique_violation, of a key that somebody added"],
  ])("%s is %s (%s)", ([code, kind]) => {
    expect(toStoreError(answer(code)).kind).toBe(kind);
  });

  test("23505 is an event that is there already where it is the id ledger's key", () => {
    expect(toStoreError(answer("23505", "event_ids_3_pkey")).kind).toBe("Mispredicted");
    expect(toStoreError(answer("23505", "my_own_key")).kind).toBe("Infrastructure");
  });

  test.for(["GetNewTransactionId", "GetNewMultiXactId"])(
    "54000 is a server that stands still where %s says it, and no event's fault",
    (routine) => {
      expect(toStoreError(Object.assign(answer("54000"), { routine })).kind).toBe("Infrastructure");
      expect(toStoreError(Object.assign(answer("54000"), { routine: "index_form_tuple_context" })).kind).toBe("Poison");
    },
  );

  test("23514 is a missing month without a constraint's name, and a changed table with one", () => {
    expect(toStoreError(answer("23514")).kind).toBe("MissingMonth");
    expect(toStoreError(answer("23514", "events_check")).kind).toBe("Infrastructure");
  });
});

test("nothing of a row is in what is logged", () => {
  const error = answer("22P02");
  error.message = 'invalid input syntax for type json: "alice"';
  error.detail = "Failing row contains (alice)";
  error.where = "COPY events, line 1, column actor_id: alice";
  const logged = inspect(toStoreError(error), { depth: 10 });
  expect(logged).toContain("invalid input syntax");
  expect(logged).not.toContain("alice");
});

test("whatever comes without an answer of the server is infrastructure", () => {
  const socket = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  for (const error of [
    socket,
    new Error("Connection terminated unexpectedly"),
    "text",
    null,
    undefined,
    { code: 22 },
  ]) {
    expect(toStoreError(error).kind).toBe("Infrastructure");
  }
});
