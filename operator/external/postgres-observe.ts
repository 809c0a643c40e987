import type { ClientBase } from "pg";
import type { LedgerRole, OtherRole } from "../desired/postgres-ledger.ts";
import { monthOf } from "../desired/postgres-month.ts";
import type { LedgerIdentity, LedgerNames } from "../desired/postgres-names.ts";
import type { Acl } from "../plan/postgres-grants.ts";
import {
  type ObservedLedger,
  type ObservedPartition,
  type ObservedRole,
  UNPARTITIONED,
} from "../plan/postgres-ledger.ts";
import { type AdoptionPolicy, databaseOwnership, mayHave, parseMarker } from "../plan/postgres-ownership.ts";
import type { PostgresConnections, PostgresServer } from "./connect-postgres.ts";
import { inTransaction } from "./postgres-transaction.ts";

/** Reads catalogs, in read-only transactions; goes into the database only where it is ours or offered to us. */
export async function observeLedger(
  connections: PostgresConnections,
  server: PostgresServer,
  names: LedgerNames,
  identity: LedgerIdentity,
  adoption: AdoptionPolicy,
): Promise<ObservedLedger> {
  const outside = await connections.admin(server, server.maintenanceDatabase, (client) =>
    inTransaction(client, { readOnly: true }, async () => ({
      roles: await observeRoles(client, names),
      database: await observeDatabase(client, names.database),
    })),
  );
  const isClosed =
    outside.database === undefined ||
    typeof databaseOwnership(names, identity, outside.database, (marker) => mayHave(marker, identity, adoption)) ===
      "object" ||
    // Another admin made it: until we may act as its owner, we may not even log in.
    !outside.database.enterable;
  const inside = isClosed
    ? NOTHING
    : await connections.admin(server, names.database, (client) =>
        inTransaction(client, { readOnly: true }, () => observeInside(client, names)),
      );
  return { ...outside, ...inside };
}

const NOTHING: Pick<ObservedLedger, "schema" | "defaultAcl" | "relations" | "indexes" | "partitions" | "months"> = {
  schema: undefined,
  defaultAcl: [],
  relations: new Map(),
  indexes: new Set(),
  partitions: [],
  months: [],
};

type RoleRow = {
  rolname: string;
  rolcanlogin: boolean;
  settings: string[] | null;
  excess: string[];
  usable: boolean;
  sessions: number;
  comment: string | null;
};

async function observeRoles(client: ClientBase, names: LedgerNames): Promise<ObservedLedger["roles"]> {
  // PostgreSQL 16 tells the right to SET ROLE apart from membership; before, a member may.
  const version = await client.query<{ major: number }>(
    "SELECT current_setting('server_version_num')::int / 10000 AS major",
  );
  const mayAct = (version.rows[0]?.major ?? 0) >= 16 ? "SET" : "MEMBER";
  const { rows } = await client.query<RoleRow>(
    `SELECT r.rolname, r.rolcanlogin, r.rolconfig AS settings, shobj_description(r.oid, 'pg_authid') AS comment,
       pg_has_role(r.oid, $2) AND pg_has_role(r.oid, 'USAGE') AS usable,
       (SELECT count(*)::int FROM pg_stat_activity a WHERE a.usesysid = r.oid) AS sessions,
       array_remove(ARRAY[
         CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
         CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
         CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL)
       || ARRAY(SELECT 'membership in ' || m.roleid::regrole FROM pg_auth_members m WHERE m.member = r.oid)
       || ARRAY(SELECT 'its member ' || m.member::regrole FROM pg_auth_members m
                WHERE m.roleid = r.oid AND r.rolname <> ALL ($3) AND m.member <> (SELECT oid FROM pg_roles WHERE rolname = current_user)) AS excess
     FROM pg_roles r WHERE r.rolname = ANY ($1)`,
    [
      [names.owner, names.writer, names.reader, names.otherWriter, names.otherReader],
      mayAct,
      [names.reader, names.otherReader],
    ],
  );
  const find = (role: LedgerRole | OtherRole): ObservedRole | undefined => {
    const row = rows.find(({ rolname }) => rolname === names[role]);
    if (row === undefined) return undefined;
    const { rolcanlogin: login, excess, usable, sessions, comment } = row;
    return { marker: parseMarker(comment), login, settings: parseSettings(row.settings), excess, usable, sessions };
  };
  return {
    owner: find("owner"),
    writer: find("writer"),
    reader: find("reader"),
    otherWriter: find("otherWriter"),
    otherReader: find("otherReader"),
  };
}

const parseSettings = (settings: readonly string[] | null): Record<string, string> =>
  Object.fromEntries(
    (settings ?? []).map((setting) => {
      const equals = setting.indexOf("=");
      return [setting.slice(0, equals), setting.slice(equals + 1)];
    }),
  );

/**
 * One line of an ACL a privilege, the owner's left out; a null array means the built-in default for its kind. Inlined
 * into the queries below, which hold constants only.
 */
const acl = (items: string, kind: string, owner: string) => `(
  SELECT coalesce(json_agg(json_build_object(
    'grantee', CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee) END,
    'privilege', a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END)), '[]')
  FROM aclexplode(coalesce(${items}, acldefault('${kind}', ${owner}))) a WHERE a.grantee <> ${owner})`;

type AclRows = readonly { grantee: string | null; privilege: string }[];

function toAcl(rows: AclRows): Acl {
  const privileges = new Map<string | null, string[]>();
  for (const { grantee, privilege } of rows) privileges.set(grantee, [...(privileges.get(grantee) ?? []), privilege]);
  return [...privileges].map(([grantee, all]) => ({ grantee, privileges: all }));
}

async function observeDatabase(client: ClientBase, database: string): Promise<ObservedLedger["database"]> {
  const { rows } = await client.query<{
    owner: string;
    comment: string | null;
    ownercomment: string | null;
    enterable: boolean;
    acl: AclRows;
  }>(
    `SELECT pg_get_userbyid(d.datdba) AS owner, shobj_description(d.oid, 'pg_database') AS comment,
       shobj_description(d.datdba, 'pg_authid') AS ownercomment,
       d.datallowconn AND has_database_privilege(d.oid, 'CONNECT') AS enterable, ${acl("d.datacl", "d", "d.datdba")} AS acl
     FROM pg_database d WHERE d.datname = $1`,
    [database],
  );
  const row = rows[0];
  if (row === undefined) return undefined;
  return {
    owner: row.owner,
    marker: parseMarker(row.comment),
    ownerMarker: parseMarker(row.ownercomment),
    enterable: row.enterable,
    acl: toAcl(row.acl),
  };
}

async function observeInside(client: ClientBase, names: LedgerNames): Promise<typeof NOTHING> {
  const found = await client.query<{ owner: string; comment: string | null; acl: AclRows; defaults: AclRows }>(
    `SELECT pg_get_userbyid(n.nspowner) AS owner, obj_description(n.oid, 'pg_namespace') AS comment,
       ${acl("n.nspacl", "n", "n.nspowner")} AS acl,
       coalesce((SELECT ${acl("d.defaclacl", "r", "d.defaclrole")} FROM pg_default_acl d
                 WHERE d.defaclnamespace = n.oid AND d.defaclrole = n.nspowner AND d.defaclobjtype = 'r'), '[]') AS defaults
     FROM pg_namespace n WHERE n.nspname = $1`,
    [names.schema],
  );
  const schema = found.rows[0];
  if (schema === undefined) return NOTHING;
  return {
    schema: { owner: schema.owner, marker: parseMarker(schema.comment), acl: toAcl(schema.acl) },
    defaultAcl: toAcl(schema.defaults),
    ...(await observeRelations(client, names.schema)),
  };
}

async function observeRelations(client: ClientBase, schema: string) {
  const { rows } = await client.query<{
    name: string;
    kind: string;
    owner: string;
    acl: AclRows;
    columnacl: AclRows;
    columns: string[];
    keys: string[];
    interference: string[];
  }>(
    `SELECT c.relname AS name, c.relkind AS kind, pg_get_userbyid(c.relowner) AS owner,
       ${acl("c.relacl", "r", "c.relowner")} AS acl,
       (SELECT coalesce(json_agg(json_build_object(
          'grantee', CASE x.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(x.grantee) END,
          'privilege', x.privilege_type || '(' || a.attname || ')')), '[]')
        FROM pg_attribute a, aclexplode(a.attacl) x WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) AS columnacl,
       ARRAY(SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
             FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1) AS columns,
       ARRAY(SELECT (SELECT string_agg(a.attname, ', ' ORDER BY k.place)
                     FROM unnest(x.indkey) WITH ORDINALITY AS k (number, place)
                     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number)
             FROM pg_index x WHERE x.indrelid = c.oid AND x.indisprimary AND x.indisvalid) AS keys,
       ARRAY(SELECT 'trigger ' || t.tgname FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
       || ARRAY(SELECT 'rule ' || r.rulename FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')
       || ARRAY(SELECT 'constraint ' || k.conname FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('c', 'f', 'u', 'x'))
       || CASE WHEN c.relname IN ('events', 'event_ids') AND c.relkind <> 'p' THEN ARRAY['${UNPARTITIONED}'] ELSE '{}' END
       || ARRAY(SELECT 'DEFAULT of column ' || a.attname FROM pg_attrdef f JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
                WHERE f.adrelid = c.oid AND NOT (c.relname = 'progress' AND pg_get_expr(f.adbin, f.adrelid) = 'now()'))
       || ARRAY(SELECT 'index ' || x.indexrelid::regclass || ' with an expression' FROM pg_index x
                WHERE x.indrelid = c.oid AND (x.indexprs IS NOT NULL OR (x.indpred IS NOT NULL AND c.relname LIKE 'dropped%')))
       || CASE WHEN c.relrowsecurity THEN ARRAY['ROW LEVEL SECURITY'] ELSE '{}' END AS interference
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'i', 'I')`,
    [schema],
  );
  const partitions = await observePartitions(client, schema);
  const isIndex = ({ kind }: { kind: string }) => kind === "i" || kind === "I";
  return {
    relations: new Map(
      rows
        .filter((row) => !isIndex(row))
        .map(({ name, owner, acl: own, columnacl, columns, keys, interference }) => [
          name,
          { owner, acl: toAcl([...own, ...columnacl]), columns: columns.toSorted(), keys, interference },
        ]),
    ),
    indexes: new Set(rows.filter(isIndex).map(({ name }) => name)),
    partitions,
    months: partitions.filter(({ fromMs }) => Number.isFinite(fromMs)).map(({ fromMs }) => monthOf(fromMs)),
  };
}

/** Boundaries from the catalog, not from names. The session's TimeZone is UTC, and the text carries its offset anyway. */
async function observePartitions(client: ClientBase, schema: string): Promise<readonly ObservedPartition[]> {
  const { rows } = await client.query<{ name: string; bound: string }>(
    `SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
     FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
       JOIN pg_namespace n ON n.oid = p.relnamespace
     WHERE n.nspname = $1 AND p.relname = 'events' AND NOT i.inhdetachpending ORDER BY bound`,
    [schema],
  );
  return rows.flatMap(({ name, bound }) => {
    const range = partitionRange(bound);
    return range === undefined ? [] : [{ name, ...range }];
  });
}

/** What `pg_get_expr(relpartbound)` says, in milliseconds, in a session whose TimeZone is UTC. */
export function partitionRange(bound: string): { fromMs: number; toMs: number } | undefined {
  const range = /^FOR VALUES FROM \((?:'([^']+)'|MINVALUE)\) TO \((?:'([^']+)'|MAXVALUE)\)$/.exec(bound);
  if (range === null) return undefined;
  return { fromMs: boundary(range[1], -Infinity), toMs: boundary(range[2], Infinity) };
}

/** `2026-11-01 00:00:00+00`: what ISO 8601 writes with a T and with minutes of offset. */
const boundary = (text: string | undefined, open: number): number =>
  text === undefined ? open : Date.parse(text.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00"));
