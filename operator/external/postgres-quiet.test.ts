import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Postgres, startPostgres } from "../../hack/servers/postgres.ts";
import { ledgerFixture } from "../../test/support/ledger.ts";
import { connectPostgres } from "./connect-postgres.ts";

/** A server of its own, which logs every statement: what it saw is what counts, not what we think we sent. */
const connections = connectPostgres();
const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-pg-"));
let pg: Postgres;
beforeAll(async () => {
  pg = await startPostgres({ major: 18, dir, settings: { log_statement: "all" } });
});
afterAll(async () => {
  await connections.close();
  await pg.remove();
  rmSync(dir, { recursive: true, force: true });
});

const statements = () =>
  readFileSync(pg.logFile, "utf8")
    .split("\n")
    .flatMap((line) => /(?:statement|execute [^:]*): (.*)$/.exec(line)?.[1] ?? []);
const isRead = (statement: string) => /^(SELECT|BEGIN .*READ ONLY|COMMIT$|SET LOCAL)/.test(statement.trim());

test("a settled ledger is only looked at: no write over three passes and a restart", async () => {
  const ledger = ledgerFixture({ pg, connections });
  expect((await ledger.converge()).length).toBeGreaterThan(10);
  const before = statements().length;
  expect(statements().filter((statement) => !isRead(statement)).length).toBeGreaterThan(20);

  for (let pass = 0; pass < 3; pass++) {
    expect(await ledger.converge()).toEqual([]);
    await ledger.access.readProgress();
  }
  const restarted = connectPostgres();
  const { namespace } = ledger.identity;
  const again = ledgerFixture({ pg, connections: restarted, namespace, passwords: ledger.passwords });
  expect(await again.converge()).toEqual([]);
  await restarted.close();

  const since = statements().slice(before);
  expect(since.length).toBeGreaterThan(10);
  expect(since.filter((statement) => !isRead(statement))).toEqual([]);
});

test("no password is in the server's log, which has every statement", async () => {
  const ledger = ledgerFixture({ pg, connections });
  await ledger.converge();
  await ledger.access.probe();
  await ledger.teardown({ database: "Delete", roles: "Delete", mayDestroy: true });
  const log = readFileSync(pg.logFile, "utf8");
  expect(log.includes("SCRAM-SHA-256$4096:")).toBe(true);
  expect([ledger.passwords.writer, ledger.passwords.reader ?? ""].filter((password) => log.includes(password))).toEqual(
    [],
  );
});
