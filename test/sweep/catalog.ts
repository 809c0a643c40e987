import type pg from "pg";

/** Rights, in an order of their own: that in which they were given says nothing. */
const acl = (column: string) =>
  `ARRAY(SELECT item::text FROM unnest(${column}) AS item ORDER BY 1) || CASE WHEN ${column} IS NULL THEN ARRAY['default'] ELSE ARRAY[]::text[] END`;

/** Roles and databases whose names begin with the namespace's. */
export async function serverCatalog(client: pg.Client, namespace: string) {
  const like = `${namespace}\\_%`;
  const roles = await client.query<{ oid: string; name: string }>(
    `SELECT r.oid::text, r.rolname AS name, r.rolcanlogin, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolinherit,
            r.rolreplication, r.rolbypassrls, r.rolconnlimit, a.rolpassword IS NOT NULL AS has_password,
            shobj_description(r.oid, 'pg_authid') AS comment,
            ARRAY(SELECT s.setconfig::text FROM pg_db_role_setting s WHERE s.setrole = r.oid ORDER BY 1) AS settings,
            ARRAY(SELECT pg_get_userbyid(m.member) || ' ' || m.admin_option FROM pg_auth_members m WHERE m.roleid = r.oid
                  ORDER BY 1) AS members
     FROM pg_roles r JOIN pg_authid a ON a.oid = r.oid WHERE r.rolname LIKE $1 ORDER BY name`,
    [like],
  );
  const databases = await client.query<{ oid: string; name: string }>(
    `SELECT oid::text, datname AS name, pg_get_userbyid(datdba) AS owner, ${acl("datacl")} AS acl, datallowconn,
            datconnlimit, shobj_description(oid, 'pg_database') AS comment
     FROM pg_database WHERE datname LIKE $1 ORDER BY name`,
    [like],
  );
  const entries = [
    ...roles.rows.map((row) => [`Role ${row.name}`, row] as const),
    ...databases.rows.map((row) => [`Database ${row.name}`, row] as const),
  ];
  return {
    databases: databases.rows.map(({ name }) => name),
    identities: entries.map(([key, { oid }]): [string, string] => [key, oid]),
    state: Object.fromEntries(entries.map(([key, { oid: _oid, ...shown }]) => [key, shown])),
  };
}

/** Everything in one database that did not come with it. */
export async function ledgerCatalog(client: pg.Client) {
  const own = `nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'`;
  const statements = {
    schemas: `SELECT nspname, pg_get_userbyid(nspowner) AS owner, ${acl("nspacl")} AS acl,
                obj_description(oid, 'pg_namespace') AS comment FROM pg_namespace WHERE ${own} ORDER BY 1`,
    relations: `SELECT nspname, relname, relkind, pg_get_userbyid(relowner) AS owner, ${acl("relacl")} AS acl,
                  pg_get_expr(relpartbound, c.oid) AS bound, reloptions::text,
                  CASE WHEN relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid) WHEN relkind = 'v' THEN pg_get_viewdef(c.oid) END AS definition
                FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE ${own} ORDER BY 1, 2`,
    columns: `SELECT nspname, relname, attname, format_type(atttypid, atttypmod), attnotnull, ${acl("attacl")} AS acl
              FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
              WHERE ${own} AND attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v') ORDER BY 1, 2, attnum`,
    constraints: `SELECT conrelid::regclass::text AS relation, conname, pg_get_constraintdef(c.oid) AS definition
                  FROM pg_constraint c JOIN pg_namespace n ON n.oid = connamespace WHERE ${own} ORDER BY 1, 2`,
    defaults: `SELECT pg_get_userbyid(defaclrole) AS role, defaclobjtype, defaclnamespace::regnamespace::text AS schema,
                 ${acl("defaclacl")} AS acl FROM pg_default_acl ORDER BY 1, 2, 3`,
    functions: `SELECT nspname, proname, pg_get_userbyid(proowner) AS owner, ${acl("proacl")} AS acl
                FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE ${own} ORDER BY 1, 2`,
  };
  const found: Record<string, unknown> = {};
  for (const [name, sql] of Object.entries(statements)) found[name] = (await client.query(sql)).rows;
  return found;
}
