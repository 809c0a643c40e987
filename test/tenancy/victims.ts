import { ConfigResourceTypes } from "@platformatic/kafka";
import type { KubeObject } from "../../operator/runtime/object-store.ts";
import { asSuperuser } from "../support/ledger.ts";
import type { Pg } from "../support/servers.ts";
import type { World } from "./tenants.ts";

/**
 * All that two tenants have, on Kafka, on both PostgreSQL servers and in their namespaces: before and after, it must be
 * the same. In the platform's database the hostile tenant may have a schema of its own, `theirs`.
 */
export async function victims(world: World): Promise<Record<string, unknown>> {
  const { tenants, postgres, oldPostgres, platformDatabase } = world;
  const databases = Object.values(tenants).map(({ ledger }) => ledger.database);
  return {
    kafka: await kafkaOf(world),
    roles: [await rolesOf(postgres, databases), await rolesOf(oldPostgres, [`${platformDatabase}.team_`])],
    databases: [await databasesOf(postgres, databases), await databasesOf(oldPostgres, [platformDatabase])],
    relations: await Promise.all([
      ...databases.map((database) => relationsOf(postgres, database)),
      relationsOf(oldPostgres, platformDatabase),
    ]),
    events: await Promise.all(databases.map((database) => eventsOf(postgres, database))),
    objects: await objectsOf(world),
  };
}

async function kafkaOf({ cluster, tenants }: World) {
  const { admin, principals } = cluster;
  const topics = Object.values(tenants).flatMap(({ kafka }) => [kafka.topic, kafka.deadLetters]);
  const metadata = await admin.metadata({ topics, forceUpdate: true });
  const configs = await admin.describeConfigs({
    resources: topics.map((resourceName) => ({ resourceType: ConfigResourceTypes.TOPIC, resourceName })),
  });
  const users = Object.values(tenants).flatMap(({ kafka }) => [kafka.user, kafka.user.replace(/audit$/, "shared")]);
  return {
    topics: topics.map((name) => [name, metadata.topics.get(name)?.id, metadata.topics.get(name)?.partitionsCount]),
    configs: configs.map(({ resourceName, configs: settings }) => [
      resourceName,
      settings.map(({ name, value }) => `${name}=${value}`).sort(),
    ]),
    /** Whoever has a right there, by a pattern too. */
    rights: (await Promise.all(topics.map((name) => admin.describeAcls({ filter: rightsOn(name) })))).map((found) =>
      found.flatMap(({ acls }) => acls.map(({ principal, operation }) => `${principal} ${operation}`)).sort(),
    ),
    users: await Promise.all(users.map(async (user) => [user, await principals.observe(user, "ScramSha512")])),
  };
}

// Numbers by org.apache.kafka.common.resource and .acl: TOPIC is 2, ANY 1, MATCH 2.
const rightsOn = (resourceName: string) =>
  ({
    resourceType: 2,
    resourceName,
    resourcePatternType: 2,
    principal: null,
    host: null,
    operation: 1,
    permissionType: 1,
  }) as const;

const rolesOf = (pg: Pg, databases: readonly string[]) =>
  rows(
    pg,
    "postgres",
    `SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolconnlimit, rolpassword,
       shobj_description(a.oid, 'pg_authid') AS comment,
       (SELECT array_agg(setconfig ORDER BY setdatabase) FROM pg_db_role_setting WHERE setrole = a.oid) AS settings,
       ARRAY(SELECT pg_get_userbyid(member) || ' ' || admin_option FROM pg_auth_members WHERE roleid = a.oid ORDER BY 1) AS members,
       ARRAY(SELECT pg_get_userbyid(roleid) FROM pg_auth_members WHERE member = a.oid ORDER BY 1) AS groups
     FROM pg_authid a WHERE EXISTS (SELECT FROM unnest($1::text[]) AS prefix WHERE starts_with(rolname, prefix)) ORDER BY rolname`,
    [databases],
  );

const databasesOf = (pg: Pg, databases: readonly string[]) =>
  rows(
    pg,
    "postgres",
    `SELECT oid, datname, pg_get_userbyid(datdba) AS owner, datconnlimit,
       ARRAY(SELECT acl::text FROM unnest(datacl) AS acl WHERE acl::text NOT LIKE '%.theirs!_%' ESCAPE '!' ORDER BY 1) AS acl, shobj_description(oid, 'pg_database') AS comment
     FROM pg_database WHERE datname = ANY ($1) ORDER BY datname`,
    [databases],
  );

const relationsOf = (pg: Pg, database: string) =>
  rows(
    pg,
    database,
    `SELECT n.nspname, nspacl::text, pg_get_userbyid(nspowner) AS schema_owner, obj_description(n.oid, 'pg_namespace') AS comment,
       c.oid, c.relname, c.relkind, pg_get_userbyid(c.relowner) AS owner, c.relacl::text
     FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid
     WHERE n.nspname NOT IN ('information_schema', 'theirs') AND NOT starts_with(n.nspname, 'pg_') ORDER BY 1, c.relname`,
  );

const eventsOf = (pg: Pg, database: string) =>
  rows(pg, database, `SELECT id, encode(sha256, 'hex') AS sha256 FROM audit.events ORDER BY partition, "offset"`);

const rows = (pg: Pg, database: string, query: string, values: unknown[] = []) =>
  asSuperuser(pg, database, async (client) => (await client.query(query, values)).rows as unknown[]);

const KINDS = ["AuditPipeline", "AuditTopic", "Secret", "ConfigMap", "Deployment", "Pod", "ServiceAccount"];

/** Without the status, which says at what time it was looked at. */
async function objectsOf({ operator, tenants }: World) {
  const lists = Object.values(tenants).flatMap(({ namespace }) =>
    KINDS.map(async (kind) => (await operator.store.list<KubeObject>(kind, { namespace })).items),
  );
  return (await Promise.all(lists)).flat().map(({ status: _, ...object }: KubeObject & { status?: unknown }) => {
    const { resourceVersion: __, ...metadata } = object.metadata;
    return { ...object, metadata };
  });
}
