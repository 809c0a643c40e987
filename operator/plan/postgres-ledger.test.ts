import { describe, expect, test } from "vitest";
import {
  LEDGER_COLUMNS,
  LEDGER_INDEXES,
  LEDGER_RELATIONS,
  type Ledger,
  ledgerFingerprint,
  ROLE_SETTINGS,
  relationPrivileges,
} from "../desired/postgres-ledger.ts";
import type { Acl } from "./postgres-grants.ts";
import { type ObservedLedger, type ObservedRole, planLedger } from "./postgres-ledger.ts";
import { type Marker, ownedBy } from "./postgres-ownership.ts";
import { planTeardown } from "./postgres-teardown.ts";

const identity = { clusterId: "c", namespace: "a", name: "p", uid: "u1", sink: "s" };
const ours = ownedBy(identity);
const released: Marker = { ...ours, uid: "u0", state: "Released" };
const theirs: Marker = { ...ours, namespace: "b" };

const desired: Ledger = {
  names: {
    database: "a_p",
    databaseGiven: false,
    schema: "audit",
    owner: "a_p_owner",
    writer: "a_p_writer",
    reader: "a_p_reader",
    otherWriter: "a_p_writer_b",
    otherReader: "a_p_reader_b",
  },
  identity,
  months: [{ year: 2026, month: 11 }],
  credentials: { writer: "w1" },
  adoptionPolicy: "Never",
  driftPolicy: "Correct",
};
const given: Ledger = { ...desired, names: { ...desired.names, databaseGiven: true } };

const nothing: ObservedLedger = {
  roles: { owner: undefined, writer: undefined, reader: undefined },
  database: undefined,
  schema: undefined,
  defaultAcl: [],
  relations: new Map(),
  indexes: new Set(),
  partitions: [],
  months: [],
};

const role = (kind: "owner" | "writer" | "reader", over: Partial<ObservedRole> = {}): ObservedRole => ({
  marker: kind === "writer" ? { ...ours, credential: "w1" } : ours,
  login: kind === "writer",
  settings: ROLE_SETTINGS[kind],
  excess: [],
  usable: true,
  sessions: 0,
  ...over,
});
const acl = (privileges: { writer?: readonly string[]; reader?: readonly string[] }): Acl =>
  Object.entries(privileges).map(([kind, all]) => ({ grantee: `a_p_${kind}`, privileges: all }));

const KEYS: Record<string, string[]> = { event_ids: ["key"], progress: ["topic_id, partition"] };

const settled: ObservedLedger = {
  roles: {
    owner: role("owner", { marker: { ...ours, settled: ledgerFingerprint(desired) } }),
    writer: role("writer"),
    reader: role("reader"),
  },
  database: {
    owner: "a_p_owner",
    marker: ours,
    ownerMarker: ours,
    enterable: true,
    acl: acl({ writer: ["TEMPORARY", "CONNECT"], reader: ["CONNECT"] }),
  },
  schema: { owner: "a_p_owner", marker: ours, acl: acl({ writer: ["USAGE"], reader: ["USAGE"] }) },
  defaultAcl: acl({ reader: ["SELECT"] }),
  relations: new Map(
    LEDGER_RELATIONS.map((name) => [
      name,
      {
        owner: "a_p_owner",
        acl: acl(relationPrivileges(name)),
        columns: LEDGER_COLUMNS.get(name) ?? [],
        keys: KEYS[name] ?? [],
        interference: [],
      },
    ]),
  ),
  indexes: new Set(LEDGER_INDEXES),
  partitions: [{ name: "events_2026_11", fromMs: Date.UTC(2026, 10), toMs: Date.UTC(2026, 11) }],
  months: [{ year: 2026, month: 11 }],
};
const writerIs = (over: Partial<ObservedRole>): ObservedLedger => ({
  ...settled,
  roles: { ...settled.roles, writer: role("writer", over) },
});
const databaseIs = (over: Partial<NonNullable<ObservedLedger["database"]>>): ObservedLedger => ({
  ...settled,
  database: {
    owner: "a_p_owner",
    marker: ours,
    ownerMarker: ours,
    acl: [],
    enterable: true,
    ...settled.database,
    ...over,
  },
});

describe("planLedger", () => {
  test("plans nothing once everything matches", () => {
    expect(planLedger(desired, settled)).toEqual({ actions: [], refusals: [] });
  });

  test("makes the owner and its marker before anything that could be taken for another's", () => {
    const kinds = planLedger(desired, nothing).actions.map(({ kind }) => kind);
    expect(kinds[0]).toBe("CreateOwnerRole");
    expect(kinds.indexOf("CreateDatabase")).toBeLessThan(kinds.indexOf("CreateSchema"));
    expect(kinds.indexOf("CreateTables")).toBeLessThan(kinds.indexOf("AttachMonth"));
    expect(kinds.slice(-2)).toEqual(["SetVerifier", "MarkSettled"]);
  });

  test.for<{ name: string; observed: ObservedLedger; want: string[]; desired?: Ledger }>([
    { name: "sets a password that is not the Secret's", observed: writerIs({ marker: ours }), want: ["SetVerifier"] },
    { name: "gives a login back", observed: writerIs({ login: false }), want: ["SetLogin"] },
    {
      name: "takes a reader's login that is no longer wanted",
      want: ["SetLogin"],
      observed: { ...settled, roles: { ...settled.roles, reader: role("reader", { login: true }) } },
    },
    {
      name: "puts one changed setting back, and leaves others alone",
      want: ["SetRoleSettings"],
      observed: writerIs({ settings: { ...ROLE_SETTINGS.writer, search_path: "public", work_mem: "1GB" } }),
    },
    {
      name: "asks to act as an owner that another admin made",
      want: ["UseRole"],
      observed: { ...settled, roles: { ...settled.roles, owner: role("owner", { usable: false }) } },
    },
    {
      name: "closes the database to PUBLIC",
      want: ["SetGrants"],
      observed: databaseIs({ acl: [...(settled.database?.acl ?? []), { grantee: null, privileges: ["CONNECT"] }] }),
    },
    {
      name: "takes back a default privilege for others",
      want: ["SetGrants"],
      observed: { ...settled, defaultAcl: [...settled.defaultAcl, { grantee: "x", privileges: ["SELECT"] }] },
    },
    { name: "attaches a month that is missing", observed: { ...settled, partitions: [] }, want: ["AttachMonth"] },
    {
      name: "is content with a wider partition that somebody made",
      want: [],
      observed: { ...settled, partitions: [{ name: "q4", fromMs: Date.UTC(2026, 9), toMs: Date.UTC(2027, 0) }] },
    },
    {
      name: "takes back a released writer, and sets its password anew",
      want: ["TakeBack", "SetVerifier"],
      observed: writerIs({ marker: { ...released, credential: "old" } }),
    },
    {
      name: "takes back what a former self never released, once its sessions have ended",
      want: ["TakeBack", "SetVerifier"],
      observed: writerIs({ marker: { ...ours, uid: "u0" } }),
    },
    { name: "takes back a released database", want: ["TakeBack"], observed: databaseIs({ marker: released }) },
    {
      name: "marks a database whose comment was removed, since its owner is ours",
      want: ["MarkOwned"],
      observed: databaseIs({ marker: undefined }),
    },
    {
      name: "sets nothing on the platform's own database where PUBLIC may enter",
      desired: given,
      want: [],
      observed: databaseIs({
        owner: "dba",
        marker: undefined,
        ownerMarker: undefined,
        acl: [{ grantee: null, privileges: ["CONNECT", "TEMPORARY"] }],
      }),
    },
    {
      name: "gives on the platform's own database only to its own roles",
      desired: given,
      want: ["SetGrants", "SetGrants"],
      observed: databaseIs({
        owner: "dba",
        marker: undefined,
        ownerMarker: undefined,
        acl: [{ grantee: "x", privileges: ["CREATE"] }],
      }),
    },
  ])("$name", ({ observed, want, desired: wanted = desired }) => {
    const plan = planLedger(wanted, observed);
    expect(plan.actions.map(({ kind }) => kind)).toEqual(want);
    expect(plan.refusals).toEqual([]);
  });

  test.for<{ name: string; observed: ObservedLedger; want: string; desired?: Ledger }>([
    { name: "an unmarked role", observed: writerIs({ marker: undefined }), want: "RoleConflict" },
    { name: "another's role", observed: writerIs({ marker: theirs }), want: "RoleConflict" },
    {
      name: "another's released role",
      observed: writerIs({ marker: { ...theirs, state: "Released" } }),
      want: "RoleConflict",
    },
    {
      name: "a role of another sink of the same pipeline",
      observed: writerIs({ marker: { ...ours, sink: "t" } }),
      want: "RoleConflict",
    },
    {
      name: "a role of a former self while its sessions are open",
      observed: writerIs({ marker: { ...ours, uid: "u0" }, sessions: 1 }),
      want: "ObjectBusy",
    },
    {
      name: "an unmarked database by the default name",
      observed: databaseIs({ owner: "dba", marker: undefined, ownerMarker: undefined }),
      want: "DatabaseConflict",
    },
    {
      name: "a given database that is another pipeline's",
      desired: given,
      observed: databaseIs({ owner: "b_p_owner", marker: undefined, ownerMarker: theirs }),
      want: "DatabaseConflict",
    },
    {
      name: "a given database marked ours that was given another owner",
      desired: given,
      observed: databaseIs({ owner: "dba", ownerMarker: undefined }),
      want: "DatabaseConflict",
    },
    {
      name: "a schema with another owner",
      observed: { ...settled, schema: { owner: "dba", marker: undefined, acl: [] } },
      want: "SchemaConflict",
    },
  ])("never takes $name, and does nothing else either", ({ observed, want, desired: wanted = desired }) => {
    const plan = planLedger(wanted, observed);
    expect(plan.actions).toEqual([]);
    expect(plan.refusals.map(({ reason }) => reason)).toEqual([want]);
  });

  test("sets a password again that the server refuses, though the marker says it is the one", () => {
    expect(planLedger(desired, settled, { rejected: ["writer"] }).actions.map(({ kind }) => kind)).toEqual([
      "SetVerifier",
    ]);
  });

  test("gives the writer what a sink needs, and not one privilege more", () => {
    const toWriter = planLedger(desired, nothing).actions.flatMap((action) =>
      action.kind === "SetGrants" && action.to === "a_p_writer" ? [[action.on.name, action.privileges]] : [],
    );
    expect(Object.fromEntries(toWriter)).toEqual({
      a_p: ["CONNECT", "TEMPORARY"],
      audit: ["USAGE"],
      events: ["INSERT", "SELECT"],
      event_ids: ["INSERT", "SELECT"],
      conflicts: ["INSERT", "SELECT"],
      skipped: ["INSERT", "SELECT"],
      progress: ["INSERT", "SELECT", "UPDATE"],
    });
  });
});

describe("planTeardown", () => {
  const RETAIN = { database: "Retain", roles: "Delete", mayDestroy: true } as const;
  const DELETE = { database: "Delete", roles: "Delete", mayDestroy: true } as const;
  const kindsOf = (observed: ObservedLedger, policy: Parameters<typeof planTeardown>[3], names = desired.names) =>
    planTeardown(names, identity, observed, policy).actions.map(({ kind }) => kind);
  const release = ["MarkReleased", "MarkReleased", "MarkReleased", "MarkReleased"];

  test("keeps the data by default, and drops the writer's login", () => {
    expect(kindsOf(settled, RETAIN)).toEqual(["DropLogin", ...release]);
  });

  test("keeps everything where the policy says so", () => {
    expect(kindsOf(settled, { ...RETAIN, roles: "Retain" })).toEqual(["MarkReleased", ...release]);
  });

  test("destroys only what is confirmed", () => {
    expect(kindsOf(settled, { ...DELETE, mayDestroy: false })).not.toContain("DropDatabase");
    expect(kindsOf(settled, DELETE)).toEqual(["DropLogin", "DropLogin", "DropDatabase", "DropRole"]);
  });

  test("drops only the schema in a database of the platform", () => {
    const platform = databaseIs({ owner: "dba", marker: undefined, ownerMarker: undefined });
    expect(kindsOf(platform, DELETE, given.names)).toEqual(["DropLogin", "DropLogin", "DropSchema", "DropRole"]);
  });

  test("leaves alone what is somebody else's, and is not held up by it", () => {
    const plan = planTeardown(desired.names, identity, writerIs({ marker: theirs }), DELETE);
    expect(plan.actions.map((action) => "role" in action && action.role)).not.toContain("a_p_writer");
    expect(plan.leftAlone.map(({ reason }) => reason)).toEqual(["RoleConflict"]);
    expect(plan.refusals).toEqual([]);
    const foreign = databaseIs({ owner: "dba", marker: undefined, ownerMarker: undefined });
    expect(kindsOf(foreign, DELETE)).not.toContain("DropDatabase");
    expect(kindsOf(foreign, DELETE)).not.toContain("DropSchema");
  });

  test("says of each object what becomes of it", () => {
    const { items } = planTeardown(desired.names, identity, settled, RETAIN);
    expect(items.map(({ kind, name, action }) => `${kind} ${name} ${action}`)).toEqual([
      "PostgresRole a_p_writer Deleted",
      "PostgresSchema a_p.audit Retained",
      "PostgresDatabase a_p Retained",
      "PostgresRole a_p_reader Retained",
      "PostgresRole a_p_owner Retained",
    ]);
  });
});
