import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { startPostgres } from "../../hack/servers/postgres.ts";
import { asSuperuser, backendFor, uniqueNamespace } from "../../test/support/ledger.ts";
import { sharedServers } from "../../test/support/servers.ts";
import { connectPostgres } from "./connect-postgres.ts";
import { identifier, literal } from "./quote.ts";

const connections = connectPostgres();
afterAll(() => connections.close());
const pg = sharedServers().postgres18;

const whoAmI = (server: Parameters<typeof connections.admin>[0]) =>
  connections.admin(server, "postgres", async (client) => (await client.query("SELECT current_user AS me")).rows[0].me);
const secretDir = (content: Record<string, string>) => {
  const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-"));
  for (const [file, text] of Object.entries(content)) writeFileSync(join(dir, file), text);
  return dir;
};
const failure = (name: string, over: Partial<ReturnType<typeof backendFor>>) =>
  whoAmI(backendFor(pg, { name, ...over })).then(
    () => undefined,
    (error: unknown) => error,
  );

describe("the admin's secret", () => {
  test("may be a directory of files, as a mounted Secret is", async () => {
    const adminSecretFile = secretDir({ username: `${pg.admin.user}\n`, password: pg.admin.password });
    expect(await whoAmI(backendFor(pg, { name: "directory", adminSecretFile }))).toBe(pg.admin.user);
  });

  test("is read again when it changes, the user too", async () => {
    const user = uniqueNamespace();
    await asSuperuser(pg, "postgres", (client) =>
      client.query(`CREATE ROLE ${identifier(user)} LOGIN PASSWORD ${literal("second one")}`),
    );
    const adminSecretFile = secretDir({ username: pg.admin.user, password: pg.admin.password });
    const server = backendFor(pg, { name: "rotated", adminSecretFile });
    expect(await whoAmI(server)).toBe(pg.admin.user);
    writeFileSync(join(adminSecretFile, "username"), user);
    writeFileSync(join(adminSecretFile, "password"), "second one");
    expect(await whoAmI(server)).toBe(user);
  });

  test.each([
    ["is missing", "/nonexistent/secret"],
    ["has no password", secretDir({ username: "x" })],
  ])("that %s is waited for, with the file named", async (_, adminSecretFile) => {
    expect(await failure(adminSecretFile, { adminSecretFile })).toMatchObject({
      name: "WaitingError",
      reason: "SecretMissing",
      message: expect.stringContaining(adminSecretFile),
    });
  });

  test("is in no error, however it is broken", async () => {
    const path = join(secretDir({}), "admin.yaml");
    for (const content of ["{username: admin, password: s3cr3t", "- s3cr3t", "s3cr3t", "password: [s3cr3t]"]) {
      writeFileSync(path, content);
      const error = await failure("broken", { adminSecretFile: path });
      expect(error).toMatchObject({ reason: "SecretMissing" });
      expect(inspect(error, { depth: 9 })).not.toContain("s3cr3t");
    }
  });
});

describe("a server that cannot be used", () => {
  test("because nobody listens, is waited for", async () => {
    expect(await failure("closed", { port: 1 })).toMatchObject({ name: "WaitingError", reason: "PostgresUnreachable" });
  });

  test("because its name does not resolve, is waited for", async () => {
    const error = await failure("unknown", { host: "no-such-host.invalid" });
    expect(error).toMatchObject({ name: "WaitingError", reason: "PostgresUnreachable" });
  });

  test("because it refuses the password, says so and not which", async () => {
    const adminSecretFile = secretDir({ username: pg.admin.user, password: "wr0ng" });
    const error = await failure("refused", { adminSecretFile });
    expect(error).toMatchObject({ name: "WaitingError", reason: "PostgresUnauthorized" });
    expect(inspect(error, { depth: 9 })).not.toContain("wr0ng");
  });

  test("because it has no TLS, is refused under Require and used under Prefer", async () => {
    expect(await failure("require", { sslMode: "Require" })).toMatchObject({ reason: "PostgresTlsFailed" });
    expect(await failure("verify", { sslMode: "VerifyFull" })).toMatchObject({ reason: "PostgresTlsFailed" });
    expect(await failure("prefer", { sslMode: "Prefer" })).toBeUndefined();
  });

  test("for a while, is used again afterwards", async () => {
    const dir = mkdtempSync(join(tmpdir(), "audit-pipeline-pg-"));
    const own = await startPostgres({ major: 18, dir });
    try {
      const server = backendFor(own, { name: "own" });
      expect(await whoAmI(server)).toBe(own.admin.user);
      await own.kill();
      await expect(whoAmI(server)).rejects.toMatchObject({ name: "WaitingError", reason: "PostgresUnreachable" });
      await own.restart();
      expect(await whoAmI(server)).toBe(own.admin.user);
      await connections.leave(server, "postgres");
    } finally {
      await own.remove();
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

test("a session finds nothing by an unqualified name but the server's own", async () => {
  const { rows } = await connections.admin(backendFor(pg), "postgres", (client) =>
    client.query("SELECT current_setting('search_path') AS path, current_setting('TimeZone') AS zone"),
  );
  expect(rows).toEqual([{ path: "pg_catalog", zone: "UTC" }]);
});
