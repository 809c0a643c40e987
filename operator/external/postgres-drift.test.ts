import { afterAll, describe, expect, test } from "vitest";
import { asSuperuser, type LedgerFixture, ledgerFixture } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { findDrift } from "../plan/postgres-ledger.ts";
import { connectPostgres } from "./connect-postgres.ts";
import { identifier } from "./quote.ts";

const connections = connectPostgres();
afterAll(() => connections.close());

interface Change {
  readonly name: string;
  /** SQL as a superuser in the ledger's database. */
  readonly by: (names: LedgerFixture["names"], stranger: string) => readonly string[];
  readonly says: string;
}

const role = (name: string) => identifier(name);

/** What the operator can put back, and puts back only where the policy says so. */
const CORRECTED: readonly Change[] = [
  {
    name: "a grant that was revoked",
    by: ({ writer }) => [`REVOKE INSERT ON audit.events FROM ${role(writer)}`],
    says: "not INSERT, SELECT",
  },
  {
    name: "a grant to a stranger",
    by: (_, stranger) => [`GRANT SELECT ON audit.events TO ${stranger} WITH GRANT OPTION`],
    says: "has SELECT* on Relation events, not nothing",
  },
  {
    name: "CONNECT that was revoked",
    by: ({ database, writer }) => [`REVOKE CONNECT ON DATABASE ${role(database)} FROM ${role(writer)}`],
    says: "on Database",
  },
  {
    name: "a database opened to everybody",
    by: ({ database }) => [`GRANT CONNECT ON DATABASE ${role(database)} TO PUBLIC`],
    says: "PUBLIC has CONNECT",
  },
  {
    name: "default privileges that were taken",
    by: ({ owner, reader }) => [
      `ALTER DEFAULT PRIVILEGES FOR ROLE ${role(owner)} IN SCHEMA audit REVOKE ALL ON TABLES FROM ${role(reader)}`,
    ],
    says: "on DefaultPrivileges",
  },
  {
    name: "a writer that may not log in",
    by: ({ writer }) => [`ALTER ROLE ${role(writer)} NOLOGIN`],
    says: "may not log in",
  },
  { name: "an owner that may log in", by: ({ owner }) => [`ALTER ROLE ${role(owner)} LOGIN`], says: "may log in" },
  {
    name: "a writer with CREATEDB and CREATEROLE",
    by: ({ writer }) => [`ALTER ROLE ${role(writer)} CREATEDB CREATEROLE`],
    says: "CREATEROLE",
  },
  {
    name: "a search_path of the writer",
    by: ({ writer }) => [`ALTER ROLE ${role(writer)} SET search_path = public`],
    says: "search_path=pg_catalog",
  },
  {
    name: "a marker that was removed from the database",
    by: ({ database }) => [`COMMENT ON DATABASE ${role(database)} IS NULL`],
    says: "has no marker",
  },
];

/** What only another can put back, or what would change the record: said under either policy, and never touched. */
const REPORTED: readonly (Change & { readonly reason: string })[] = [
  {
    name: "a writer made SUPERUSER",
    by: ({ writer }) => [`ALTER ROLE ${role(writer)} SUPERUSER`],
    says: "SUPERUSER",
    reason: "UnexpectedPrivilege",
  },
  {
    name: "a writer made a member of another role",
    by: ({ writer }, stranger) => [`GRANT ${stranger} TO ${role(writer)}`],
    says: "membership in",
    reason: "UnexpectedPrivilege",
  },
  {
    name: "a column of another type",
    by: () => ["ALTER TABLE audit.conflicts ALTER COLUMN partition TYPE bigint"],
    says: "partition bigint",
    reason: "SchemaDrift",
  },
  {
    name: "a trigger",
    by: () => [
      "CREATE FUNCTION audit.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
      "CREATE TRIGGER drop_it BEFORE INSERT ON audit.skipped FOR EACH ROW EXECUTE FUNCTION audit.f()",
    ],
    says: "trigger drop_it",
    reason: "SchemaDrift",
  },
  {
    name: "a primary key that was dropped",
    by: () => ["ALTER TABLE audit.event_ids DROP CONSTRAINT event_ids_pkey"],
    says: "event_ids lacks PRIMARY KEY (key)",
    reason: "SchemaDrift",
  },
  {
    name: "a NOT NULL that was dropped",
    by: () => ["ALTER TABLE audit.skipped ALTER COLUMN tenant DROP NOT NULL"],
    says: "tenant text",
    reason: "SchemaDrift",
  },
  {
    name: "a check that was added",
    by: () => ["ALTER TABLE audit.conflicts ADD CONSTRAINT narrow CHECK (partition < 5)"],
    says: "constraint narrow",
    reason: "SchemaDrift",
  },
  {
    name: "an index that was dropped",
    by: () => ["DROP INDEX audit.events_actor"],
    says: "index events_actor is missing",
    reason: "SchemaDrift",
  },
  {
    name: "a table given to somebody else",
    by: (_, stranger) => [`ALTER TABLE audit.conflicts OWNER TO ${stranger}`],
    says: "conflicts belongs to",
    reason: "SchemaDrift",
  },
  {
    name: "a schema given to somebody else",
    by: (_, stranger) => [`ALTER SCHEMA audit OWNER TO ${stranger}`],
    says: "was given to role",
    reason: "SchemaConflict",
  },
  {
    name: "a database given to somebody else",
    by: ({ database }, stranger) => [`ALTER DATABASE ${role(database)} OWNER TO ${stranger}`],
    says: "was given to role",
    reason: "DatabaseConflict",
  },
];

describe.each(["postgres15", "postgres18"] as const)("what was changed by hand on %s", (major) => {
  const pg = sharedServers()[major];

  async function changed(change: Change, driftPolicy: "Correct" | "Report") {
    const ledger = ledgerFixture({ pg, connections, driftPolicy });
    await ledger.converge();
    const stranger = identifier(`${ledger.identity.namespace}_stranger`);
    await asSuperuser(pg, ledger.names.database, async (client) => {
      await client.query(`CREATE ROLE ${stranger}`);
      for (const statement of change.by(ledger.names, stranger)) await client.query(statement);
    });
    return ledger;
  }
  const driftOf = async (ledger: LedgerFixture) => findDrift(ledger.desired, await ledger.access.observe()).join("; ");

  test.each(CORRECTED)("$name is put back under Correct", async (change) => {
    const ledger = await changed(change, "Correct");
    expect(await driftOf(ledger)).toContain(change.says);
    expect(await ledger.converge()).not.toEqual([]);
    expect(await ledger.plan()).toEqual({ actions: [], refusals: [] });
    expect(await driftOf(ledger)).toBe("");
    expect(await ledger.access.probe()).toMatchObject({ ok: true });
  });

  test.each(CORRECTED)("$name is left under Report, and said", async (change) => {
    const ledger = await changed(change, "Report");
    const before = await ledger.access.observe();
    expect(await ledger.converge()).toEqual([]);
    expect(await ledger.access.observe()).toEqual(before);
    expect(await driftOf(ledger)).toContain(change.says);
  });

  test.each(REPORTED)("$name is reported and never touched", async (change) => {
    const ledger = await changed(change, "Correct");
    const before = await ledger.access.observe();
    expect(await ledger.converge()).toEqual([]);
    expect(await ledger.access.observe()).toEqual(before);
    const { refusals } = await ledger.plan();
    expect(refusals.map(({ reason }) => reason)).toContain(change.reason);
    expect(refusals.map(({ message }) => message).join()).toContain(change.says);
  });

  test("months are made and passwords are set under Report too", async () => {
    const ledger = await changed({ ...CORRECTED[0], by: () => [] } as Change, "Report");
    const later = ledgerFixture({
      ...{ pg, connections, driftPolicy: "Report" },
      namespace: ledger.identity.namespace,
      months: [...ledger.desired.months, { year: 2027, month: 1 }],
    });
    expect(await later.converge()).toEqual(["AttachMonth", "SetVerifier", "SetVerifier"]);
    expect(await later.access.probe()).toMatchObject({ ok: true });
  });

  test("a table that was dropped is made again under Correct, and stops the ledger under Report", async () => {
    const gone: Change = { name: "", by: () => ["DROP TABLE audit.conflicts"], says: "missing: conflicts" };
    const correct = await changed(gone, "Correct");
    expect(await driftOf(correct)).toContain(gone.says);
    expect(await correct.converge()).toContain("CreateTables");
    expect(await correct.plan()).toEqual({ actions: [], refusals: [] });
    const report = await changed(gone, "Report");
    expect(await report.converge()).toEqual([]);
    expect((await report.plan()).refusals[0]).toMatchObject({
      reason: "SchemaDrift",
      message: expect.stringContaining(gone.says),
    });
  });

  test("what is asked for anew is no drift, and is done under Report", async () => {
    const ledger = ledgerFixture({ pg, connections, driftPolicy: "Report", readerLogin: false });
    await ledger.converge();
    const { namespace } = ledger.identity;
    const { writer } = ledger.passwords;
    const passwords = { writer, reader: "a password for the reader, at last" };
    const wanted = ledgerFixture({ pg, connections, driftPolicy: "Report", namespace, passwords });
    expect(await driftOf(wanted)).toBe("");
    expect(await wanted.converge()).toEqual(["SetLogin", "SetVerifier", "MarkSettled"]);
    expect(await wanted.access.probe()).toMatchObject({ ok: true });
  });
});
