import { expect, test } from "vitest";
import { NO_ANSWER, StoreError } from "./ledger.ts";
import { storeTroubleOf } from "./trouble.ts";

test.for<[code: string | undefined, reason: string, means: string]>([
  ["28P01", "PostgresAuthenticationFailed", "invalid_password"],
  ["28000", "PostgresAuthenticationFailed", "no LOGIN, or not in pg_hba.conf"],
  ["42501", "PostgresAuthorizationFailed", "insufficient_privilege"],
  ["42P05", "PostgresPooled", "a pooler: another's prepared statement is there"],
  ["26000", "PostgresPooled", "a pooler: our prepared statement is not there"],
  ["CERT_HAS_EXPIRED", "PostgresTlsFailed", "OpenSSL's word"],
  ["ENOENT", "PostgresTlsFailed", "the authority's file is not there"],
  [undefined, "PostgresUnreachable", "the client's own words"],
  ["ECONNREFUSED", "PostgresUnreachable", "nobody listens"],
  [NO_ANSWER, "PostgresUnreachable", "silence"],
  ["57P01", "PostgresUnreachable", "admin_shutdown"],
  ["53100", "PostgresUnreachable", "disk_full"],
  ["25006", "PostgresUnreachable", "read_only_sql_transaction"],
  ["42P01", "PostgresFailed", "undefined_table"],
  ["3D000", "PostgresFailed", "invalid_catalog_name: the database is gone"],
])("%s is %s (%s)", ([code, reason]) => {
  expect(storeTroubleOf(new StoreError("Infrastructure", "connection to 192.0.2.1 failed", { code }))?.reason).toBe(
    reason,
  );
});

test("no address of a server is in what is said of a connection", () => {
  for (const code of ["ECONNREFUSED", "CERT_HAS_EXPIRED", undefined, NO_ANSWER, "28000"]) {
    const failure = new StoreError("Infrastructure", "connection to 192.0.2.1:5432 failed", { code });
    expect(storeTroubleOf(failure)?.detail).not.toContain("192.0.2.1");
  }
});
