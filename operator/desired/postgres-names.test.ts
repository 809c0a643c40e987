import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ledgerNames } from "./postgres-names.ts";

const backend = { name: "default", namePrefix: "{namespace}_", maintenanceDatabase: "postgres" };
const of = (namespace: string, name: string, spec: { database?: string; schema?: string } = {}, over = {}) =>
  ledgerNames({ clusterId: "c", namespace, name, sink: "ledger" }, spec, { ...backend, ...over });

const label = (max: number) => fc.stringMatching(new RegExp(`^[a-z0-9]([-a-z0-9]{0,${max - 2}}[a-z0-9])?$`));
const resource = fc.oneof(
  label(63),
  label(20),
  fc.array(label(63), { minLength: 1, maxLength: 4 }).map((parts) => parts.join(".")),
);

describe("ledgerNames", () => {
  test("by default are the prefix and the resource's name, and the roles are the database's", () => {
    expect(of("team-a", "payments")).toEqual({
      database: "team-a_payments",
      databaseGiven: false,
      schema: "audit",
      owner: "team-a_payments_owner",
      writer: "team-a_payments_writer",
      otherWriter: "team-a_payments_writer_b",
      reader: "team-a_payments_reader",
      otherReader: "team-a_payments_reader_b",
    });
  });

  test("with another schema carry it, so that two schemas of a database have their own roles", () => {
    const { owner } = of("team-a", "payments", { database: "team-a_shared", schema: "trail" });
    expect(owner).toBe("team-a_shared.trail_owner");
  });

  test("keep apart what only joins to the same text", () => {
    expect(of("a-b", "c").database).not.toBe(of("a", "b-c").database);
    expect(of("a", "b.c").database).not.toBe(of("a", "b-c").database);
  });

  test("fit 63 bytes with room for a rotation's suffix, and never meet", () => {
    fc.assert(
      fc.property(label(63), resource, label(63), resource, (namespaceA, nameA, namespaceB, nameB) => {
        fc.pre(namespaceA !== "pg" && namespaceB !== "pg");
        const [a, b] = [of(namespaceA, nameA), of(namespaceB, nameB)];
        for (const name of [a.owner, a.writer, a.reader])
          expect(Buffer.byteLength(`${name}_0001`)).toBeLessThanOrEqual(63);
        const same = namespaceA === namespaceB && nameA === nameB;
        expect(a.database === b.database).toBe(same);
        expect(a.owner === b.owner).toBe(same);
      }),
      { numRuns: 5_000 },
    );
  });

  test("two sinks that name long databases of the same beginning get different roles", () => {
    const long = `team-a_${"x".repeat(50)}`;
    expect(of("team-a", "p", { database: `${long}a` }).owner).not.toBe(
      of("team-a", "p", { database: `${long}b` }).owner,
    );
  });

  test.each([
    "postgres",
    "template0",
    "template1",
    "pg_catalog",
    "other_payments",
    "team-ab_x",
    "team-a_",
    "team-a",
    "team-a_X",
    'team-a_x"; DROP DATABASE postgres; --',
    "team-a_x'",
    "team-a_x\0",
    "team-a_é",
    "team-a_x.y",
    "team-a_x~y",
    "TEAM-A_x",
    "",
    `team-a_${"x".repeat(57)}`,
    "../team-a_x",
    "team-a_x/y",
    "team-a_x y",
  ])("refuse the database %j, with the field, the value, the rule and the fix", (database) => {
    expect(() => of("team-a", "payments", { database })).toThrow(
      expect.objectContaining({ reason: "NameNotAllowed", message: expect.stringContaining("postgres.database") }),
    );
  });

  test.each(["public", "information_schema", "pg_toast", "Audit", "a-b", 'a"b', "", "x".repeat(64), "1a"])(
    "refuse the schema %j",
    (schema) => {
      expect(() => of("team-a", "payments", { schema })).toThrow(expect.objectContaining({ reason: "NameNotAllowed" }));
    },
  );

  test("refuse, with an empty prefix, a resource named like a database of the server", () => {
    for (const name of ["postgres", "template1", "maintenance"]) {
      const over = { namePrefix: "", maintenanceDatabase: "maintenance" };
      expect(() => of("team-a", name, {}, over)).toThrow(expect.objectContaining({ reason: "NameNotAllowed" }));
    }
  });

  test("refuse a namespace that would make roles beginning with pg_", () => {
    expect(() => of("pg", "payments")).toThrow(expect.objectContaining({ reason: "NameNotAllowed" }));
  });
});
