import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Admin } from "@platformatic/kafka";
import pg from "pg";
import { describe, expect, test } from "vitest";
import { sharedServers } from "../../test/support/servers.ts";

describe("the shared servers", () => {
  test.for([15, 18] as const)("PostgreSQL %i gives the admin CREATEDB and CREATEROLE, not superuser", async (major) => {
    const { host, port, admin } = sharedServers()[`postgres${major}`];
    const client = new pg.Client({ host, port, ...admin, database: "postgres" });
    await client.connect();
    const { rows } = await client.query(
      "select rolsuper, rolcreatedb, rolcreaterole, current_setting('server_version_num')::int / 10000 as major from pg_roles where rolname = current_user",
    );
    await client.end();
    expect(rows).toEqual([{ rolsuper: false, rolcreatedb: true, rolcreaterole: true, major }]);
  });

  test("Kafka creates a topic", async () => {
    const admin = new Admin({ clientId: "servers-test", bootstrapBrokers: sharedServers().kafka.bootstrapServers });
    const [topic] = await admin.createTopics({ topics: ["servers-test"], partitions: 2 });
    await admin.close();
    expect(topic).toMatchObject({ name: "servers-test", partitions: 2 });
  });
});
void [mkdtempSync, rmSync, tmpdir, join];
