import { Admin } from "@platformatic/kafka";
import pg from "pg";
import type { Pg } from "../support/servers.ts";

/** The servers behind the proxies. */
export interface Servers {
  readonly kafka: { readonly host: string; readonly port: number };
  readonly postgres: Pg;
}

export async function asSuperuser<T>(
  { postgres: { host, port, superuser } }: Servers,
  database: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ host, port, database, ...superuser });
  await client.connect();
  return work(client).finally(() => client.end());
}

export async function withAdmin<T>({ kafka: { host, port } }: Servers, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Admin({ clientId: "sweep", bootstrapBrokers: [`${host}:${port}`], timeout: 20_000 });
  return work(admin).finally(() => admin.close());
}

export const topicNames = async (admin: Admin, namespace: string) =>
  (await admin.listTopics()).filter((name) => name.startsWith(`${namespace}.`)).toSorted();

/** Removes what a namespace has left, so that a thousand of them weigh no more than one. */
export async function clearServers(servers: Servers, namespace: string): Promise<void> {
  await asSuperuser(servers, "postgres", async (client) => {
    const like = [`${namespace}\\_%`];
    const databases = await client.query<{ drop: string }>(
      "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) AS drop FROM pg_database WHERE datname LIKE $1",
      like,
    );
    for (const { drop } of databases.rows) await client.query(drop);
    const roles = await client.query<{ name: string; drop: string }>(
      "SELECT rolname AS name, format('DROP ROLE %I', rolname) AS drop FROM pg_roles WHERE rolname LIKE $1",
      like,
    );
    for (const { drop } of roles.rows) await client.query(drop);
  });
  await withAdmin(servers, async (admin) => {
    const topics = await topicNames(admin, namespace);
    if (topics.length > 0) await admin.deleteTopics({ topics });
  });
}
